import { mkdir, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { loadPackageDefinition, Server, ServerCredentials, status } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { expect, test } from 'vitest'
import { csiClient, publishRequest, register } from '../support/kubelet.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const POD = { name: 'app-1', namespace: 'team', uid: '8c6a0a4e-0f5c-4a57-9a0d-9f2f0c0a1b2c' }

/** A driver that answers with what it was sent. */
async function startEcho(socket: string, registration: string, info: object) {
  const server = new Server()
  const calls: { method: string; request: unknown }[] = []
  for (const [file, services] of [
    ['csi', ['csi.v1.Identity', 'csi.v1.Node']],
    ['registration', ['pluginregistration.Registration']],
  ] as const) {
    const path = new URL(`../../driver/csi/${file}.proto`, import.meta.url).pathname
    const definition = loadSync(path, { keepCase: true, enums: String, oneofs: true })
    loadPackageDefinition(definition)
    for (const name of services) {
      const service = definition[name]
      if (service === undefined || 'format' in service) throw new Error(name)
      const answers: Record<string, object> = {
        GetInfo: info,
        NodeGetInfo: { node_id: 'node-1' },
        NodeGetCapabilities: { capabilities: [{ rpc: { type: 'GET_VOLUME_STATS' } }] },
        NodeGetVolumeStats: { usage: [{ total: 9_007_199_254, unit: 'BYTES' }] },
      }
      const handlers = Object.keys(service).map((method) => [
        method,
        (call: { request: unknown }, answer: (error: object | null, value?: object) => void) => {
          calls.push({ method, request: call.request })
          if (method === 'NodeUnpublishVolume') {
            answer({ code: status.ABORTED, details: 'Still pulling' })
          } else if (method !== 'Probe') answer(null, answers[method] ?? {})
        },
      ])
      server.addService(service as never, Object.fromEntries(handlers))
    }
  }
  for (const path of [socket, registration]) {
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      )
    })
  }
  return { calls, [Symbol.asyncDispose]: async () => server.forceShutdown() }
}

function goodInfo(endpoint: string) {
  return { type: 'CSIPlugin', name: 'csi.oras.land', endpoint, supported_versions: ['1.0.0'] }
}

test('a driver is registered: GetInfo, NodeGetInfo, NotifyRegistrationStatus', async () => {
  await using directory = await temporaryDirectory()
  const socket = directory.file('csi.sock')
  const registering = register(directory.file('reg'))
  await mkdir(directory.file('reg'))
  await writeFile(directory.file('reg', 'other.txt'), '')
  const file = directory.file('reg', 'csi.oras.land-reg.sock')
  await using driver = await startEcho(socket, file, goodInfo(socket))
  expect(await registering).toMatchObject({
    driverName: 'csi.oras.land',
    nodeId: 'node-1',
    socketPath: socket,
  })
  expect(driver.calls.map(({ method }) => method)).toEqual([
    'GetInfo',
    'NodeGetInfo',
    'NotifyRegistrationStatus',
  ])
  expect(driver.calls.at(-1)?.request).toMatchObject({ plugin_registered: true })
})

test.each([
  [{ type: 'DRAPlugin' }, {}, 'no handler registered for type: DRAPlugin'],
  [{ supported_versions: ['0.2.0'] }, {}, 'none of the versions is supported: 0.2.0'],
  [{}, { refuse: 'name is taken' }, 'name is taken'],
])('a driver that says %o, with %o, is told that it is refused', async (info, options, message) => {
  await using directory = await temporaryDirectory()
  const socket = directory.file('csi.sock')
  await using driver = await startEcho(socket, directory.file('a-reg.sock'), {
    ...goodInfo(socket),
    ...info,
  })
  // Both sockets are in this directory; the registration socket sorts first.
  await expect(register(directory.path, options)).rejects.toThrow(message)
  expect(driver.calls.at(-1)).toMatchObject({
    method: 'NotifyRegistrationStatus',
    request: { error: message },
  })
})

test('a publish request is what the kubelet sends, and arrives as it is', async () => {
  await using directory = await temporaryDirectory()
  const socket = directory.file('csi.sock')
  const sent = await publishRequest({
    kubeletDir: directory.path,
    pod: POD,
    volumeName: 'app',
    attributes: { 'oras.artifact.reference': 'a/b:c', 'csi.storage.k8s.io/pod.uid': 'forged' },
    secret: { '.dockerconfigjson': '{}' },
    readOnly: true,
  })
  const target = `${directory.path}/pods/${POD.uid}/volumes/kubernetes.io~csi/app/mount`
  expect(sent).toEqual({
    volume_id: expect.stringMatching(/^csi-[0-9a-f]{64}$/),
    target_path: target,
    volume_capability: { mount: { fs_type: '' }, access_mode: { mode: 'SINGLE_NODE_WRITER' } },
    readonly: true,
    secrets: { '.dockerconfigjson': '{}' },
    volume_context: {
      'oras.artifact.reference': 'a/b:c',
      'csi.storage.k8s.io/ephemeral': 'true',
      'csi.storage.k8s.io/pod.name': 'app-1',
      'csi.storage.k8s.io/pod.namespace': 'team',
      'csi.storage.k8s.io/pod.uid': POD.uid,
      'csi.storage.k8s.io/serviceAccount.name': 'default',
    },
  })
  expect((await stat(dirname(target))).mode & 0o777).toBe(0o750)
  await expect(stat(target)).rejects.toThrow('ENOENT')
  await using driver = await startEcho(socket, directory.file('a-reg.sock'), {})
  await csiClient(socket).nodePublishVolume(sent)
  expect(driver.calls[0]?.request).toMatchObject({
    ...sent,
    volume_capability: { access_type: 'mount' },
  })
})

test('failures have their code and details; deadlines and cancellation work', async () => {
  await using directory = await temporaryDirectory()
  const socket = directory.file('csi.sock')
  await using driver = await startEcho(socket, directory.file('a-reg.sock'), {})
  const csi = csiClient(socket)
  await expect(
    csi.nodeUnpublishVolume({ volume_id: 'v', target_path: '/t' }),
  ).rejects.toMatchObject({ code: status.ABORTED, details: 'Still pulling' })
  // The driver of this test never answers a probe.
  await expect(csi.probe({ deadlineMs: 50 })).rejects.toMatchObject({
    code: status.DEADLINE_EXCEEDED,
  })
  const abort = new AbortController()
  const cancelled = csi.probe({ signal: abort.signal })
  abort.abort()
  await expect(cancelled).rejects.toMatchObject({ code: status.CANCELLED })
  await expect(csiClient(directory.file('none.sock')).nodeGetInfo()).rejects.toMatchObject({
    code: status.UNAVAILABLE,
  })
  expect(await csi.nodeGetCapabilities()).toMatchObject({
    capabilities: [{ rpc: { type: 'GET_VOLUME_STATS' } }],
  })
  expect(await csi.nodeGetVolumeStats({ volume_id: 'v', volume_path: '/t' })).toEqual({
    usage: [{ available: 0, total: 9_007_199_254, used: 0, unit: 'BYTES' }],
  })
  expect(driver.calls[0]).toEqual({
    method: 'NodeUnpublishVolume',
    request: { volume_id: 'v', target_path: '/t' },
  })
})

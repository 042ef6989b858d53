import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { status } from '@grpc/grpc-js'
import { request as get } from 'undici'
import { describe, expect, test } from 'vitest'
import { artifact, push } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { register } from '../support/kubelet.ts'
import { mountsAt, whyNoMounts } from '../support/mounts.ts'
import { poll } from '../support/poll.ts'
import { startProcess, withMessage } from '../support/process.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'

const why = await whyNoMounts()
const BLOB = /\/blobs\//
const HELLO = artifact({ layers: [{ title: 'hello.txt', content: 'hello v1' }] })
const MEBIBYTE = 1024 * 1024

describe('SIGTERM', () => {
  test('leaves mounts alone, removes both sockets, and exits 0; the next driver takes over', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/hello:v1', HELLO)
    await using node = await startNode(registry)
    await using first = await node.startDriver()
    const request = await node.request('pod', `${registry.host}/acme/hello:v1`)
    await first.csi.nodePublishVolume(request)

    first.process.kill('SIGTERM')

    expect(await first.process.exited).toEqual({ code: 0, signal: null })
    expect(await readdir(`${node.kubeletDir}/plugins_registry`)).toEqual([])
    expect(await readdir(`${node.kubeletDir}/plugins/csi.oras.land`)).toEqual(['store'])
    expect(await readFile(`${request.target_path}/hello.txt`, 'utf8')).toBe('hello v1')

    await using second = await node.startDriver()
    await second.process.waitForLine(
      ({ json }) => json?.['msg'] === 'recovered leases' && json['kept'] === 1,
    )
    // A kubelet that restarted publishes again what runs.
    await second.csi.nodePublishVolume(request)
    expect((await mountsAt(request.target_path)).length).toBe(1)
    await second.csi.nodeUnpublishVolume(request)
    expect(await mountsAt(request.target_path)).toEqual([])
  })

  test('tells a waiting call to come again', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/hello:v1', HELLO)
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    using gate = registry.hold({ method: 'GET', path: BLOB })
    const request = await node.request('pod', `${registry.host}/acme/hello:v1`)
    const call = driver.csi.nodePublishVolume(request)
    const outcome = expect(call).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: 'The driver is stopping; call again',
    })
    await gate.arrived
    driver.process.kill('SIGTERM')
    await outcome
    expect(await driver.process.exited).toEqual({ code: 0, signal: null })
  })
})

describe('SIGKILL', () => {
  test('in mid-pull: no half tree is ever seen, the next driver goes on with what was downloaded', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    const content = Buffer.alloc(4 * MEBIBYTE, 'abc')
    await push(registry.url, 'acme/big:v1', artifact({ layers: [{ title: 'big', content }] }))
    await using node = await startNode(registry)
    await using first = await node.startDriver()
    const request = await node.request('pod', `${registry.host}/acme/big:v1`)
    const gate = registry.hold({ method: 'GET', path: BLOB, afterBytes: 3 * MEBIBYTE })
    const call = first.csi.nodePublishVolume(request)
    const outcome = expect(call).rejects.toMatchObject({ code: status.UNAVAILABLE })
    await gate.arrived
    const ingest = `${node.storeDirectory}/ingest`
    await poll(
      async () => {
        const [file] = await readdir(ingest)
        return file !== undefined && (await stat(`${ingest}/${file}`)).size > 2 * MEBIBYTE
      },
      { deadlineMs: 10_000, what: 'half of the blob to be on disk' },
    )

    first.process.kill('SIGKILL')

    await outcome
    await first.process.exited
    gate.release()
    expect(await readdir(`${node.storeDirectory}/trees`)).toEqual([])
    expect(await mountsAt(request.target_path)).toEqual([])
    registry.clearRequests()

    await using second = await node.startDriver()
    await second.csi.nodePublishVolume(request)
    expect(content.equals(await readFile(`${request.target_path}/big`))).toBe(true)
    const [download] = registry.requests.filter(({ path }) => BLOB.test(path))
    expect(download?.range).toMatch(/^bytes=[2-3]\d{6}-/)
    await second.csi.nodeUnpublishVolume(request)
    expect(await readdir(`${node.storeDirectory}/volumes`)).toEqual([])
  })

  test('with a published volume: it stays, its stale sockets are replaced, and it is unpublished by the next driver', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await push(registry.url, 'acme/hello:v1', HELLO)
    await using node = await startNode(registry)
    await using first = await node.startDriver()
    const request = await node.request('pod', `${registry.host}/acme/hello:v1`)
    await first.csi.nodePublishVolume(request)
    first.process.kill('SIGKILL')
    await first.process.exited
    expect(await readdir(`${node.kubeletDir}/plugins_registry`)).toEqual(['csi.oras.land-reg.sock'])

    await using second = await node.startDriver()
    expect(await readFile(`${request.target_path}/hello.txt`, 'utf8')).toBe('hello v1')
    await second.csi.nodeUnpublishVolume(request)
    expect(await mountsAt(request.target_path)).toEqual([])
  })

  test('a damaged ingest file is found out, and the blob is downloaded afresh', async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    const content = Buffer.alloc(MEBIBYTE, 'abc')
    await push(registry.url, 'acme/big:v1', artifact({ layers: [{ title: 'big', content }] }))
    await using node = await startNode(registry)
    await using first = await node.startDriver()
    const request = await node.request('pod', `${registry.host}/acme/big:v1`)
    const gate = registry.hold({ method: 'GET', path: BLOB, afterBytes: MEBIBYTE / 2 })
    const outcome = expect(first.csi.nodePublishVolume(request)).rejects.toMatchObject({
      code: status.UNAVAILABLE,
    })
    await gate.arrived
    first.process.kill('SIGKILL')
    await outcome
    await first.process.exited
    gate.release()
    const [part] = await readdir(`${node.storeDirectory}/ingest`)
    await writeFile(`${node.storeDirectory}/ingest/${part}`, Buffer.alloc(MEBIBYTE / 4, 'X'))

    await using second = await node.startDriver()
    await second.csi.nodePublishVolume(request)
    expect(content.equals(await readFile(`${request.target_path}/big`))).toBe(true)
    await second.csi.nodeUnpublishVolume(request)
  })
})

describe('a rolling update', () => {
  test('the second driver waits for the store, does not register, and says so; then it takes over', async (context) => {
    skipUnless(context, why)
    await using node = await startNode()
    await using first = await node.startDriver()
    await using second = startProcess({
      args: [
        'driver/main.ts',
        ...['--kubelet-directory', node.kubeletDir],
        ...['--hosts-directory', node.hostsDirectory],
        ...['--health-listen', '127.0.0.1:0'],
      ],
    })
    await second.waitForLine(withMessage('waiting for another driver to leave the store'))
    expect((await first.csi.getPluginInfo()).name).toBe('csi.oras.land')
    first.process.kill('SIGTERM')
    await second.waitForLine(withMessage('serving'))
    await register(`${node.kubeletDir}/plugins_registry`)
    await second.waitForLine(withMessage('registered with the kubelet'))
  })
})

describe('registration and health', () => {
  test("readiness follows the kubelet's registration", async (context) => {
    skipUnless(context, why)
    await using node = await startNode()
    await using driver = await node.startDriver({ registered: false })
    expect(await probe(`${driver.healthUrl}/livez`)).toEqual([200, 'ok\n'])
    expect(await probe(`${driver.healthUrl}/readyz`)).toEqual([
      503,
      'waiting for the kubelet to register the driver\n',
    ])
    const { driverName, nodeId } = await register(`${node.kubeletDir}/plugins_registry`)
    expect([driverName, nodeId]).toEqual(['csi.oras.land', 'node-1'])
    expect(await probe(`${driver.healthUrl}/readyz`)).toEqual([200, 'ok\n'])
    expect(await driver.csi.probe()).toEqual({ ready: { value: true } })
    expect(await driver.csi.nodeGetCapabilities()).toMatchObject({
      capabilities: [{ rpc: { type: 'GET_VOLUME_STATS' } }],
    })
  })

  test('a driver that the kubelet refuses exits 1, so that its restart tries again', async (context) => {
    skipUnless(context, why)
    await using node = await startNode()
    await using driver = await node.startDriver({ registered: false })
    await expect(
      register(`${node.kubeletDir}/plugins_registry`, { refuse: 'not today' }),
    ).rejects.toThrow('not today')
    expect(await driver.process.exited).toEqual({ code: 1, signal: null })
    expect(driver.process.output()).toContain('The kubelet refused the registration: not today')
  })

  test('sockets are for root alone', async (context) => {
    skipUnless(context, why)
    await using node = await startNode()
    await using _ = await node.startDriver()
    for (const socket of [
      `${node.kubeletDir}/plugins/csi.oras.land/csi.sock`,
      `${node.kubeletDir}/plugins_registry/csi.oras.land-reg.sock`,
    ]) {
      expect((await stat(socket)).mode & 0o777).toBe(0o600)
    }
    expect((await stat(node.storeDirectory)).mode & 0o777).toBe(0o700)
  })

  test.for([
    [['--nod-id', 'x'], 'Unknown flag "--nod-id"; did you mean "node-id"? (--help lists them)'],
    [['--max-downloads', '0'], 'Invalid --max-downloads "0": expected a whole number from 1 to 64'],
  ] as const)(
    'the command line %j ends with exit code 2 and a message',
    async ([args, message]) => {
      await using driver = startProcess({ args: ['driver/main.ts', ...args] })
      expect(await driver.exited).toEqual({ code: 2, signal: null })
      expect(driver.output()).toBe(`stderr: ${message}`)
    },
  )
})

async function probe(url: string): Promise<[number, string]> {
  const { statusCode, body } = await get(url)
  return [statusCode, await body.text()]
}

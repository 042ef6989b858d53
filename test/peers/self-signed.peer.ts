import { X509Certificate } from 'node:crypto'
import { networkInterfaces } from 'node:os'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ANNOTATIONS } from '../../common/composition/composition.ts'
import type { JsonObject } from '../../webhook/json.ts'
import { objectNamed } from '../manifests/manifest-objects.ts'
import { poll } from '../support/poll.ts'
import { startProcess, withMessage } from '../support/process.ts'
import { whyNoProgram } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { mountSecret, swapSecret } from '../webhook/serving-certificate.ts'
import { runCertificateJob } from './certificate-job.ts'
import { type KubernetesApi, startKubernetesApi } from './kubernetes-api.ts'
import { kustomized } from './rendered.ts'

const why = await whyNoProgram('go', 'etcd')
/** Kubernetes is compiled once. */
const COMPILE_MS = 45 * 60_000
const ALL = [
  ...['self-signed', 'openshift', 'policy', 'oci-layout', 'proxy', 'tainted-nodes', 'chosen-nodes'],
  ...['events', 'startup-taint', 'kubelet-directory'],
]
const ACCOUNT = 'system:serviceaccount:oras-csi:oras-csi-certificate'
const SHOP = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }
const POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'composed',
    annotations: { [ANNOTATIONS.artifacts]: '/app: ghcr.io/acme/app:v1' },
  },
  spec: { containers: [{ name: 'main', image: 'busybox' }] },
}
const CONFIGURATIONS = ['mutatingwebhookconfiguration', 'validatingwebhookconfiguration'] as const

let api: KubernetesApi
let objects: readonly JsonObject[]

describe.skipIf(why !== undefined)(`on a real API server${why ? ` (${why})` : ''}`, () => {
  beforeAll(async () => {
    api = await startKubernetesApi()
    objects = await kustomized(...ALL)
    await api.kubectl.apply(objects.filter(({ kind }) => kind === 'Namespace'))
  }, COMPILE_MS)
  afterAll(() => api?.[Symbol.asyncDispose]())

  test('every object of the base and its components is taken, without an unknown field', async () => {
    // kubectl asks for strict validation.
    const applied = await api.kubectl.apply(objects)
    expect(applied.trim().split('\n')).toHaveLength(objects.length)
  })

  test('the Job makes the certificate with the rights that it has, and the API server is told of it', async () => {
    expect(await runJob()).toMatchObject({ msg: 'certificate made', why: 'there was none' })
    const { cert, authorities } = await held()
    expect(new X509Certificate(cert).subjectAltName).toBe('DNS:oras-csi-webhook.oras-csi.svc')
    expect(await trusted()).toEqual([authorities, authorities])
  })

  test('applying the manifests again leaves certificate and trust alone, and so does the CronJob', async () => {
    const before = [await held(), await trusted()]
    await api.kubectl.apply(objects)
    expect([await held(), await trusted()]).toEqual(before)
    expect(await runJob()).toMatchObject({ msg: 'certificate kept' })
    expect([await held(), await trusted()]).toEqual(before)
  })

  test('it is renewed when the secret is emptied, as the README says, and the old one is not trusted any more', async () => {
    const before = await held()
    const change = '[{"op":"remove","path":"/data"}]'
    const secret = ['secret', 'oras-csi-webhook-self-signed']
    await api.kubectl.in('oras-csi').run('patch', ...secret, '--type=json', '-p', change)
    expect(await runJob()).toMatchObject({ msg: 'certificate made' })
    const after = await held()
    expect(after.cert).not.toBe(before.cert)
    expect(after.authorities).not.toContain(before.authorities)
    expect(await trusted()).toEqual([after.authorities, after.authorities])
  })

  test('the API server trusts the webhook that shows it, by its Service, and so it does after a renewal', async () => {
    await using directory = await temporaryDirectory()
    const first = await held()
    await mountSecret(directory.path, { cert: first.cert, key: first.key })
    await using webhook = startProcess({
      args: [
        'webhook/main.ts',
        '--listen=0.0.0.0:0',
        '--health-listen=127.0.0.1:0',
        `--certificate-directory=${directory.path}`,
      ],
    })
    const { json } = await webhook.waitForLine(withMessage('serving'))
    await api.kubectl.apply([endpointsOf(Number(json?.['port'])), SHOP])
    const composed = () => api.kubectl.in('shop').dryRun(JSON.stringify(POD))
    await poll(composed, { deadlineMs: 60_000, what: 'the API server to reach the webhook' })

    const change = '[{"op":"remove","path":"/data"}]'
    const secret = ['secret', 'oras-csi-webhook-self-signed']
    await api.kubectl.in('oras-csi').run('patch', ...secret, '--type=json', '-p', change)
    await runJob()
    await poll(
      () =>
        composed().then(
          () => false,
          (error: unknown) => String(error).includes('failed to verify certificate'),
        ),
      { deadlineMs: 60_000, what: 'the API server to trust the new authority alone' },
    )
    const second = await held()
    // What the kubelet does within two minutes.
    await swapSecret(directory.path, { cert: second.cert, key: second.key }, 2)
    await poll(composed, { deadlineMs: 60_000, what: 'the webhook to show the new certificate' })
  })

  test('the Job may do nothing else', async () => {
    const may = async (...what: readonly string[]) => {
      const answer = api.kubectl.in('oras-csi').run('auth', 'can-i', ...what, '--as', ACCOUNT)
      return (await answer.catch(String)).includes('yes')
    }
    expect(await may('patch', 'secret/oras-csi-webhook-self-signed')).toBe(true)
    expect(await may('patch', 'mutatingwebhookconfigurations/oras-csi')).toBe(true)
    for (const what of [
      ['get', 'secrets'],
      ['list', 'secrets'],
      ['create', 'secrets'],
      ['get', 'secret/another'],
      ['delete', 'secret/oras-csi-webhook-self-signed'],
      ['patch', 'mutatingwebhookconfigurations/another'],
      ['list', 'mutatingwebhookconfigurations'],
      ['get', 'secret/oras-csi-webhook-self-signed', '--namespace=default'],
      ['create', 'pods'],
    ]) {
      expect([what, await may(...what)]).toEqual([what, false])
    }
  })
})

function runJob(): Promise<unknown> {
  return runCertificateJob(api, objectNamed(objects, 'Job oras-csi/oras-csi-certificate'))
}

async function held() {
  const { data } = await api.kubectl.in('oras-csi').get('secret', 'oras-csi-webhook-self-signed')
  const text = (key: string) => Buffer.from(data[key], 'base64').toString()
  return { cert: text('tls.crt'), key: text('tls.key'), authorities: text('ca.crt') }
}

async function trusted(): Promise<readonly string[]> {
  return Promise.all(
    CONFIGURATIONS.map(async (kind) => {
      const { webhooks } = await api.kubectl.get(kind, 'oras-csi')
      return Buffer.from(webhooks[0].clientConfig.caBundle ?? '', 'base64').toString()
    }),
  )
}

/** Names this machine as what is behind the webhook's Service; loopback addresses are refused there. */
function endpointsOf(port: number): object {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  const own = addresses.find(({ family, internal }) => family === 'IPv4' && !internal)
  if (own === undefined) throw new Error('This machine has no address but those of its loopback')
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: 'oras-csi-webhook',
      namespace: 'oras-csi',
      labels: { 'kubernetes.io/service-name': 'oras-csi-webhook' },
    },
    addressType: 'IPv4',
    ports: [{ name: 'admission', port, protocol: 'TCP' }],
    endpoints: [{ addresses: [own.address], conditions: { ready: true } }],
  }
}

import { createServer } from 'node:https'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ANNOTATIONS, DRIVER_NAME } from '../../common/composition/composition.ts'
import type { JsonObject } from '../../webhook/json.ts'
import { readBase } from '../manifests/manifest-objects.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { poll } from '../support/poll.ts'
import { whyNoProgram } from '../support/skip-unless.ts'
import { type KubernetesApi, startKubernetesApi } from './kubernetes-api.ts'
import { type Reachable, startRealWebhook } from './real-webhook.ts'
import { type ConfiguredOptions, configured } from './webhook-configuration.ts'

const why = await whyNoProgram('go', 'etcd')
/** Kubernetes is compiled once. */
const COMPILE_MS = 45 * 60_000

const base = await readBase()
const artifacts = { [ANNOTATIONS.artifacts]: '/app: ghcr.io/acme/app:v1' }
const NOTHING_COMPOSED = { [ANNOTATIONS.status]: '{"volumes":[]}' }
const COMPOSED = { [ANNOTATIONS.status]: '{"volumes":[{"name":"oras-app"}]}' }
const OURS = { name: 'oras-app', csi: { driver: DRIVER_NAME, readOnly: true } }
const OTHERS = { name: 'oras-app', csi: { driver: 'secrets.example.com', readOnly: true } }
const NOT_APPLIED =
  'oras.land/artifacts was not applied: the oras-csi webhook is not running, or this namespace is excluded from it'

const APART = { 'oras.land/inject': 'disabled' }

let stack: AsyncDisposableStack
let api: KubernetesApi

describe.skipIf(why !== undefined)(
  `a real API server with the shipped configuration${why === undefined ? '' : ` (${why})`}`,
  () => {
    beforeAll(async () => {
      stack = new AsyncDisposableStack()
      api = stack.use(await startKubernetesApi())
      await api.kubectl.apply([
        namespaceObject('shop'),
        namespaceObject('apart', APART),
        ...base.filter(({ kind }) => kind === 'Namespace'),
      ])
      // All but what calls the webhook, and what an API server alone does not know.
      await api.kubectl.apply(
        base.filter((object) => !isCertManagers(object) && !isWebhook(object)),
      )
      await poll(async () => (await created('shop', pod(artifacts))) !== 'created', {
        deadlineMs: 60_000,
        what: 'the policy to be in force',
      })
    }, COMPILE_MS)
    afterAll(() => stack.disposeAsync())

    test('knows every field of both webhook configurations, and compiles their expressions', async () => {
      const configurations = base.filter(isWebhook)
      expect(configurations).toHaveLength(2)
      for (const object of configurations) {
        // kubectl asks for strict validation.
        expect(await api.kubectl.dryRun(JSON.stringify(object))).toMatch(/\/oras-csi\n$/)
      }
    })

    test.each([
      { name: 'without annotations', made: pod({}), says: 'created' },
      { name: 'that asks for artifacts', made: pod(artifacts), says: NOT_APPLIED },
      {
        name: 'with our volume, but no status',
        made: pod(artifacts, [OURS]),
        says: NOT_APPLIED,
      },
      {
        name: 'with a status, but no volume',
        made: pod({ ...artifacts, ...COMPOSED }),
        says: NOT_APPLIED,
      },
      {
        name: "with a status and another driver's volume",
        made: pod({ ...artifacts, ...COMPOSED }, [OTHERS, { name: 'tmp', emptyDir: {} }]),
        says: NOT_APPLIED,
      },
      {
        name: 'with status and volume',
        made: pod({ ...artifacts, ...COMPOSED }, [{ name: 'tmp', emptyDir: {} }, OURS]),
        says: 'created',
      },
      {
        name: 'whose status says that nothing was meant for it',
        made: pod({ ...artifacts, ...NOTHING_COMPOSED }),
        says: 'created',
      },
      {
        name: 'with another annotation of ours alone',
        made: pod({ [ANNOTATIONS.pullSecret]: 'acme' }),
        says: 'created',
      },
      {
        name: 'that mirrors a static one',
        made: pod({ ...artifacts, 'kubernetes.io/config.mirror': 'a1b2' }, [], { nodeName: 'n' }),
        says: 'created',
      },
    ])('without a webhook, takes or denies a pod $name', async ({ made, says }) => {
      expect(await created('shop', made)).toContain(says)
    })

    test('and an excluded namespace refuses what it would not compose', async () => {
      expect(await created('apart', pod(artifacts))).toContain(NOT_APPLIED)
      expect(await created('kube-system', pod(artifacts))).toContain(NOT_APPLIED)
      expect(await created('apart', pod({}))).toBe('created')
    })

    test('calls the webhook for annotated pods, and lets pass what it made', async () => {
      await using webhook = await startRealWebhook()
      await using _ = await configured(api, at('MutatingWebhookConfiguration', webhook))
      await poll(async () => (await created('shop', pod(artifacts))) === 'created', {
        deadlineMs: 60_000,
        what: 'the webhook to be called',
      })
      const shop = api.kubectl.in('shop')
      await shop.apply([pod(artifacts)])
      const composed = await shop.get('pod', 'made')
      expect(composed.spec.volumes).toContainEqual({
        name: 'oras-app',
        csi: {
          driver: DRIVER_NAME,
          readOnly: true,
          volumeAttributes: { 'oras.artifact.reference': 'ghcr.io/acme/app:v1' },
        },
      })
      expect(await created('shop', pod({ [ANNOTATIONS.artifacts]: 'app: x' }))).toContain(
        'admission webhook "mutate.csi.oras.land" denied the request',
      )
      expect(await created('apart', pod(artifacts))).toContain(NOT_APPLIED)
      await shop.run('delete', 'pod', 'made')
      // Nobody else waits for it.
      await webhook[Symbol.asyncDispose]()
      expect(await created('shop', pod({}))).toBe('created')
      expect(await created('shop', pod({ 'example.com/oras.land': 'x' }))).toBe('created')
      expect(await created('shop', pod(artifacts))).toContain(
        'failed calling webhook "mutate.csi.oras.land"',
      )
    })

    test('tells whoever applies a workload what its pods would be denied for', async () => {
      await using webhook = await startRealWebhook()
      await using _ = await configured(api, at('ValidatingWebhookConfiguration', webhook))
      const wrong = { [ANNOTATIONS.artifacts]: '/app: ghcr.io/acme/app' }
      await poll(async () => (await created('shop', deployment(wrong))) !== 'created', {
        deadlineMs: 60_000,
        what: 'the webhook to be asked',
      })
      for (const kind of Object.keys(SPECS)) {
        const answer = await created('shop', workload(kind, { template: wrong }))
        expect(answer).toContain('admission webhook "validate.csi.oras.land" denied the request')
        expect(answer).toContain('reference "ghcr.io/acme/app" has neither tag nor digest')
        expect([kind, await created('shop', workload(kind, { template: artifacts }))]).toEqual([
          kind,
          'created',
        ])
      }
    })

    test('asks about workloads with an annotation of ours, wherever it stands, and about no others', async () => {
      await using refusing = await startRefusing()
      await using _ = await configured(api, at('ValidatingWebhookConfiguration', refusing))
      const asked = (answer: string) => answer.includes('validate.csi.oras.land')
      await poll(async () => asked(await created('shop', deployment(artifacts))), {
        deadlineMs: 60_000,
        what: 'the webhook to be asked',
      })
      const answers: Record<string, boolean> = {}
      for (const kind of Object.keys(SPECS)) {
        for (const [place, annotations] of Object.entries(PLACES)) {
          answers[`${kind}: ${place}`] = asked(await created('shop', workload(kind, annotations)))
        }
      }
      expect(answers).toEqual(
        Object.fromEntries(
          Object.keys(SPECS).flatMap((kind) => [
            [`${kind}: template`, true],
            [`${kind}: workload`, true],
            [`${kind}: nowhere`, false],
          ]),
        ),
      )
      for (const namespace of ['apart', 'kube-system', 'oras-csi', 'oras-csi-node']) {
        expect([namespace, await created(namespace, deployment(artifacts))]).toEqual([
          namespace,
          'created',
        ])
      }
      // A workload that is there: its update is asked about, its deletion and its number of replicas are not.
      const shop = api.kubectl.in('shop')
      await shop.apply([deployment({})])
      const annotate = ['annotate', 'deployment/made', 'oras.land/artifacts=x', '--dry-run=server']
      await expect(shop.run(...annotate)).rejects.toThrow('validate.csi.oras.land')
      await shop.run('scale', 'deployment/made', '--replicas=3')
      await shop.run('delete', 'deployment/made', '--wait=false')
      // It is no gate: pods have their own.
      await refusing[Symbol.asyncDispose]()
      expect(await created('shop', deployment(artifacts))).toBe('created')
    })
  },
)

const SPECS: Readonly<Record<string, (template: object) => object>> = {
  Deployment: (template) => ({ selector: { matchLabels: { app: 'made' } }, template }),
  StatefulSet: (template) => ({
    serviceName: 'made',
    selector: { matchLabels: { app: 'made' } },
    template,
  }),
  DaemonSet: (template) => ({ selector: { matchLabels: { app: 'made' } }, template }),
  ReplicaSet: (template) => ({ selector: { matchLabels: { app: 'made' } }, template }),
  Job: (template) => ({ template }),
  CronJob: (template) => ({ schedule: '0 0 * * *', jobTemplate: { spec: { template } } }),
}

const PLACES = {
  template: { template: artifacts },
  workload: { workload: artifacts },
  nowhere: { workload: { 'example.com/a': 'b' } },
} as const

function workload(
  kind: string,
  annotations: { readonly template?: object; readonly workload?: object },
): JsonObject {
  const spec = SPECS[kind]?.({
    metadata: {
      labels: { app: 'made' },
      ...(annotations.template && { annotations: annotations.template }),
    },
    spec: {
      ...(kind.endsWith('Job') && { restartPolicy: 'Never' }),
      containers: [{ name: 'main', image: 'busybox' }],
    },
  })
  return {
    apiVersion: kind.endsWith('Job') ? 'batch/v1' : 'apps/v1',
    kind,
    metadata: {
      name: 'made',
      ...(annotations.workload && { annotations: annotations.workload }),
    },
    spec,
  }
}

const deployment = (template: object): JsonObject => workload('Deployment', { template })

function pod(annotations: object, volumes: readonly object[] = [], spec: object = {}): JsonObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'made', annotations },
    spec: { containers: [{ name: 'main', image: 'busybox' }], volumes, ...spec },
  }
}

function namespaceObject(name: string, labels: object = {}): object {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } }
}

/** `created`, or what kubectl said instead. */
async function created(namespace: string, object: JsonObject): Promise<string> {
  try {
    await api.kubectl.in(namespace).dryRun(JSON.stringify(object))
    return 'created'
  } catch (error) {
    return String(error)
  }
}

function isCertManagers({ apiVersion }: JsonObject): boolean {
  return String(apiVersion).startsWith('cert-manager.io/')
}

function isWebhook({ kind }: JsonObject): boolean {
  return /^(?:Mutating|Validating)WebhookConfiguration$/.test(String(kind))
}

function at(kind: ConfiguredOptions['kind'], { url, ca }: Reachable): ConfiguredOptions {
  return { kind, url, ca }
}

/** A webhook that refuses whatever it is asked about. */
async function startRefusing(): Promise<Reachable> {
  const authority = await createCertificateAuthority()
  const { cert, key } = await authority.issue({ names: ['127.0.0.1'] })
  const server = createServer({ cert, key }, async (request, response) => {
    const review = JSON.parse(await text(request))
    response.setHeader('content-type', 'application/json')
    response.end(
      JSON.stringify({
        apiVersion: review.apiVersion,
        kind: review.kind,
        response: { uid: review.request.uid, allowed: false, status: { message: 'asked' } },
      }),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('No port')
  return {
    url: `https://127.0.0.1:${address.port}`,
    ca: authority.cert,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

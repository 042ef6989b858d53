import { networkInterfaces } from 'node:os'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ANNOTATIONS } from '../../common/composition/composition.ts'
import { isJsonObject, type JsonObject } from '../../webhook/json.ts'
import { objectIn, readBase } from '../manifests/manifest-objects.ts'
import {
  controllerMadePod,
  namedPod,
  podReview,
  workloadReview,
} from '../support/admission-review.ts'
import { sampleOf, scrape } from '../support/metrics.ts'
import { poll } from '../support/poll.ts'
import { whyNoProgram } from '../support/skip-unless.ts'
import { type ApiAnswer, type ApiClient, startApiClient } from './api-client.ts'
import { startControllers } from './controllers.ts'
import { type KubernetesApi, startKubernetesApi } from './kubernetes-api.ts'
import { type OtherWebhook, type SeenRequest, startOtherWebhook } from './other-webhook.ts'
import {
  createIdentity,
  type Identity,
  type RealWebhook,
  startRealWebhook,
} from './real-webhook.ts'
import { configured } from './webhook-configuration.ts'

const why = await whyNoProgram('go', 'etcd')
/** Kubernetes is compiled once. */
const COMPILE_MS = 45 * 60_000

const annotations = { [ANNOTATIONS.artifacts]: '/app: ghcr.io/acme/app:v1' }
const spec = { containers: [{ name: 'main', image: 'busybox' }] }
const MUTATING = 'MutatingWebhookConfiguration'
const SERVICE_NAME = 'oras-csi-webhook.oras-csi.svc'

let stack: AsyncDisposableStack
let api: KubernetesApi
let client: ApiClient
let identity: Identity
let address: string

describe.skipIf(why !== undefined)(
  `what a real API server sends${why === undefined ? '' : ` (${why})`}`,
  () => {
    beforeAll(async () => {
      stack = new AsyncDisposableStack()
      address = ownAddress()
      identity = await createIdentity([SERVICE_NAME, address, '127.0.0.1'])
      api = stack.use(await startKubernetesApi())
      client = stack.use(await startApiClient(api))
      await api.kubectl.run('create', 'namespace', 'shop')
      const service = (await readBase()).filter(
        ({ kind, metadata }) =>
          kind === 'Namespace' ||
          (kind === 'Service' && isJsonObject(metadata) && metadata['name'] === 'oras-csi-webhook'),
      )
      await api.kubectl.apply(service)
    }, COMPILE_MS)
    afterAll(() => stack.disposeAsync())

    test('is what our tests imitate, of pods from people and from controllers', async () => {
      await using other = await startOtherWebhook({ identity })
      await using _ = await called(other, { url: other.url })
      await using controllers = await startControllers(api)
      const shop = api.kubectl.in('shop')
      await shop.apply(workloads())
      await poll(() => shop.run('create', 'job', 'by-hand', '--from=cronjob/nightly'), {
        deadlineMs: 30_000,
        what: 'the CronJob',
      })
      await shop.apply([podObject('mine')])
      const wanted = ['ReplicaSet', 'StatefulSet', 'Job', 'Job', 'Job', 'Pod']
      await poll(() => other.seen.length >= wanted.length, {
        deadlineMs: 60_000,
        what: 'pods of all controllers',
      }).catch((cause) => {
        throw new Error(controllers.output().slice(-4000), { cause })
      })
      const seen = other.seen.map(({ review }) => review)
      expect(seen.map((review) => ownerOf(review)?.['kind'] ?? 'Pod').toSorted()).toEqual(
        wanted.toSorted(),
      )

      const imitated = shapeOf(podReview(controllerMadePod({ annotations, spec })))
      const ofReplicaSet = made(seen, 'ReplicaSet')
      expect(shapeOf(ofReplicaSet)).toEqual(imitated)
      expect(objectIn(ofReplicaSet, 'request')).toMatchObject({
        dryRun: false,
        namespace: 'shop',
        object: { metadata: { generateName: expect.stringMatching(/^web-[a-z0-9]+-$/) } },
        userInfo: { username: 'system:serviceaccount:kube-system:replicaset-controller' },
      })
      expect(shapeOf(made(seen, undefined))).toEqual(
        shapeOf(podReview(namedPod('mine', { annotations, spec }))),
      )

      // What other controllers' pods have besides.
      expect(objectIn(made(seen, 'StatefulSet'), 'request')).toMatchObject({
        name: 'db-0',
        object: { metadata: { name: 'db-0', generateName: 'db-', namespace: 'shop' } },
      })
      expect(objectIn(made(seen, 'Job'), 'request', 'object', 'metadata')).toMatchObject({
        generateName: expect.stringMatching(/^(?:align-[01]|by-hand)-$/),
        finalizers: ['batch.kubernetes.io/job-tracking'],
      })
      await shop.run('delete', 'pod', 'mine', '--grace-period=0')
    })

    test('says in a dry run that it is one, in two places', async () => {
      await using other = await startOtherWebhook({ identity })
      await using _ = await called(other, { url: other.url })
      const query = `?dryRun=All&fieldManager=${MANAGER}&fieldValidation=Strict`
      await client.createPod('shop', podObject('dry'), query)
      const pod = namedPod('dry', { annotations, spec }, 'shop')
      const imitated = podReview(pod, { dryRun: true, namespace: 'shop' })
      const { dryRun, options } = objectIn(other.seen[0], 'review', 'request')
      expect({ dryRun, options }).toEqual({
        dryRun: imitated.request['dryRun'],
        options: imitated.request['options'],
      })
    })

    test('tells of a workload with three seconds to answer, as our tests imitate', async () => {
      await using other = await startOtherWebhook({ identity })
      const { ca, url } = other
      await using _ = await configured(api, { kind: 'ValidatingWebhookConfiguration', ca, url })
      const shop = api.kubectl.in('shop')
      const deployment = { ...workloads()[0], metadata: { name: 'told' } }
      await poll(
        async () => {
          await shop.dryRun(JSON.stringify(deployment))
          return other.seen.length > 0
        },
        { deadlineMs: 60_000, what: 'the webhook to be called' },
      )
      other.answer(() => [])
      await shop.apply([deployment])
      const [first] = other.seen
      expect(first).toMatchObject({ method: 'POST', url: '/validate-workload?timeout=3s' })
      const object = objectIn(first, 'review', 'request', 'object')
      expect(shapeOf(first?.review)).toEqual(shapeOf(workloadReview('Deployment', object)))
      await shop.run('delete', 'deployment', 'told')
    })

    test('comes over HTTP/1.1 to a service, with the time-out in the query, many on one connection', async () => {
      await using other = await startOtherWebhook({ identity, address })
      await using _endpoint = await endpoint('recorder', other.port)
      await using _ = await called(other)
      for (let count = 0; count < 20; count += 1) {
        expect((await client.createPod('shop', podObject('p'), '?dryRun=All')).status).toBe(201)
      }
      const [first] = other.seen
      expect(first).toMatchObject({
        offered: ['http/1.1'],
        protocol: 'http/1.1',
        httpVersion: '1.1',
        method: 'POST',
        url: '/mutate?timeout=5s',
        headers: {
          host: `${SERVICE_NAME}:443`,
          'user-agent': 'kube-apiserver-admission',
          accept: 'application/json, */*',
          'accept-encoding': 'gzip',
          'content-type': 'application/json',
          'content-length': expect.stringMatching(/^\d{4}$/),
        },
      })
      expect(other.seen.length).toBe(20)
      // One, unless this machine is so slow that idle ones are closed.
      expect(new Set(other.seen.map(({ clientPort }) => clientPort)).size).toBeLessThan(5)
    })

    test('offers HTTP/2 to a webhook on its own machine, and takes our HTTP/1.1', async () => {
      await using other = await startOtherWebhook({ identity })
      {
        await using _ = await called(other, { url: other.url })
        await client.createPod('shop', podObject('p'), '?dryRun=All')
        const expected: Partial<SeenRequest> = { offered: ['h2', 'http/1.1'], httpVersion: '2.0' }
        expect(other.seen[0]).toMatchObject(expected)
      }
      await using webhook = await startRealWebhook({ identity })
      await using _ = await configured(api, { kind: MUTATING, ca: identity.ca, url: webhook.url })
      await composing()
      for (let count = 0; count < 20; count += 1) {
        expect(outcomeOf(await client.createPod('shop', podObject('p'), '?dryRun=All'))).toBe(
          'composed',
        )
      }
      const metrics = await scrape(webhook.healthUrl)
      expect(sampleOf(metrics, 'oras_csi_webhook_connections')).toBeLessThan(5)
    })

    test('is answered all the time while two webhooks are replaced one after the other', async () => {
      await using webhooks = new AsyncDisposableStack()
      // As shipped: within it the endpoint is gone, however busy this machine is.
      const flags = ['--shutdown-grace=15s']
      const start = async (name: string) => {
        const webhook = webhooks.use(await startRealWebhook({ address, flags, identity }))
        return { webhook, endpoint: webhooks.use(await endpoint(name, webhook.port)) }
      }
      const old = [await start('a'), await start('b')]
      await using _ = await configured(api, { kind: MUTATING, ca: identity.ca })
      await composing()
      const answered: string[] = []
      let replacing = true
      const create = async () => {
        while (replacing) {
          answered.push(outcomeOf(await client.createPod('shop', podObject('p'), '?dryRun=All')))
        }
      }
      const moreAnswers = async () => {
        const wanted = answered.length + 20
        await poll(() => answered.length > wanted, { deadlineMs: 60_000, what: 'more answers' })
      }
      const creating = [create(), create()]
      const young: RealWebhook[] = []
      try {
        for (const one of old) {
          await moreAnswers()
          young.push((await start(`instead-of-${one.webhook.port}`)).webhook)
          one.webhook.process.kill('SIGTERM')
          // What the controller of endpoints does.
          await poll(async () => !(await isReady(one.webhook)), {
            deadlineMs: 20_000,
            what: 'the old webhook to be not ready',
          })
          await one.endpoint[Symbol.asyncDispose]()
        }
        for (const { webhook } of old) {
          expect(await webhook.process.exited).toEqual({ code: 0, signal: null })
        }
        await moreAnswers()
      } finally {
        replacing = false
        await Promise.all(creating)
      }
      expect(new Set(answered)).toEqual(new Set(['composed']))
      const asked = (all: readonly RealWebhook[]) => all.flatMap((one) => one.reviews()).length
      expect(asked(old.map(({ webhook }) => webhook))).toBeGreaterThan(20)
      expect(asked(young)).toBeGreaterThan(0)
    })

    test('refuses pods, and never lets one pass as it is, while the only webhook restarts', async () => {
      await using webhooks = new AsyncDisposableStack()
      const flags = ['--shutdown-grace=0s']
      const start = async () => {
        const webhook = webhooks.use(await startRealWebhook({ address, flags, identity }))
        return { webhook, endpoint: webhooks.use(await endpoint('alone', webhook.port)) }
      }
      const first = await start()
      await using _ = await configured(api, { kind: MUTATING, ca: identity.ca })
      await composing()
      const outcomes: string[] = []
      const create = async () => {
        outcomes.push(outcomeOf(await client.createPod('shop', podObject('p'), '?dryRun=All')))
        return outcomes.at(-1)
      }
      first.webhook.process.kill('SIGTERM')
      await poll(async () => (await create()) === 'not called', {
        deadlineMs: 60_000,
        what: 'a pod to be refused',
      })
      await first.endpoint[Symbol.asyncDispose]()
      await create()
      await start()
      await poll(async () => (await create()) === 'composed', {
        deadlineMs: 60_000,
        what: 'pods to be composed again',
      })
      expect(new Set(outcomes)).toEqual(new Set(['composed', 'not called']))
    })
  },
)

/** kubectl's name for itself. */
const MANAGER = 'kubectl-client-side-apply'

function podObject(name: string): JsonObject {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, annotations }, spec }
}

function workloads(): readonly object[] {
  const template = (app: string, more: object = {}) => ({
    metadata: { labels: { app }, annotations },
    spec: { ...spec, ...more },
  })
  const job = (app: string) => template(app, { restartPolicy: 'Never' })
  const selector = (app: string) => ({ matchLabels: { app } })
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web' },
      spec: { selector: selector('web'), template: template('web') },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'db' },
      spec: { serviceName: 'db', selector: selector('db'), template: template('db') },
    },
    {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'align' },
      spec: { completions: 2, parallelism: 2, completionMode: 'Indexed', template: job('align') },
    },
    {
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: { name: 'nightly' },
      spec: {
        schedule: '0 0 1 1 *',
        suspend: true,
        jobTemplate: { spec: { template: job('nightly') } },
      },
    },
  ]
}

/** Has a webhook called at a URL, or else through the shipped service; it has seen nothing yet when this returns. */
async function called(other: OtherWebhook, at: { url?: string } = {}): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  stack.use(await configured(api, { kind: MUTATING, ca: other.ca, ...at }))
  await poll(
    async () => {
      await client.createPod('shop', podObject('p'), '?dryRun=All')
      return other.seen.length > 0
    },
    { deadlineMs: 60_000, what: 'the webhook to be called' },
  )
  other.answer(() => [])
  const running = stack.move()
  return { [Symbol.asyncDispose]: () => running.disposeAsync() }
}

function composing(): Promise<unknown> {
  return poll(
    async () =>
      outcomeOf(await client.createPod('shop', podObject('p'), '?dryRun=All')) === 'composed',
    { deadlineMs: 60_000, what: 'pods to be composed' },
  )
}

function isReady({ healthUrl }: RealWebhook): Promise<boolean> {
  return fetch(`${healthUrl}/readyz`).then(
    ({ ok }) => ok,
    () => false,
  )
}

/** How a pod fared, in a word; what is not expected in the API server's. */
function outcomeOf({ status, body }: ApiAnswer): string {
  if (status === 201) {
    return body.spec.volumes?.[0]?.name === 'oras-app' ? 'composed' : 'as it was'
  }
  const refused = 'failed calling webhook "mutate.csi.oras.land"'
  return body.message.includes(refused) ? 'not called' : `${status}: ${body.message}`
}

/** A port of this machine behind the service that the shipped configurations name. Disposing takes it away. */
async function endpoint(name: string, port: number): Promise<AsyncDisposable> {
  const kubectl = api.kubectl.in('oras-csi')
  await kubectl.apply([
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name, labels: { 'kubernetes.io/service-name': 'oras-csi-webhook' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
      ports: [{ name: 'admission', port, protocol: 'TCP' }],
    },
  ])
  return {
    [Symbol.asyncDispose]: async () => {
      await kubectl.run('delete', 'endpointslice', name, '--ignore-not-found')
    },
  }
}

/** An address of this machine that endpoints may have: no loopback. */
function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((one) => one ?? [])
  const own = all.find(({ family, internal }) => family === 'IPv4' && !internal)
  if (own === undefined) throw new Error('This machine has no IPv4 address but the loopback one')
  return own.address
}

function ownerOf(review: JsonObject): JsonObject | undefined {
  const owners = objectIn(review, 'request', 'object', 'metadata')['ownerReferences']
  return Array.isArray(owners) ? owners[0] : undefined
}

/** The first review of a pod whose owner is of a kind. */
function made(reviews: readonly JsonObject[], owner: string | undefined): JsonObject {
  const found = reviews.find((review) => ownerOf(review)?.['kind'] === owner)
  if (found === undefined) throw new Error(`No pod of ${owner}`)
  return found
}

/** The keys of a value at every level, with what they hold where it is the same for all pods; of open maps and a pod's spec only that they are there. */
function shapeOf(value: unknown, key = ''): unknown {
  if (OPEN.has(key)) return 'there'
  if (Array.isArray(value)) return value.map((one) => shapeOf(one))
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([k, one]) => [k, shapeOf(one, k)]))
  }
  return FIXED.has(key) ? value : typeof value
}

const OPEN = new Set(['spec', 'labels', 'annotations', 'fieldsV1', 'groups'])
const FIXED = new Set([
  ...['apiVersion', 'kind', 'group', 'version', 'resource', 'operation', 'dryRun', 'oldObject'],
  ...['fieldsType', 'controller', 'blockOwnerDeletion', 'fieldManager', 'fieldValidation'],
])

import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ANNOTATIONS, DRIVER_NAME } from '../../common/composition/composition.ts'
import { type JsonObject, objectsAt } from '../../webhook/json.ts'
import { objectIn } from '../manifests/manifest-objects.ts'
import { poll } from '../support/poll.ts'
import { whyNoProgram } from '../support/skip-unless.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts'
import { type ApiClient, startApiClient } from './api-client.ts'
import { type KubernetesApi, startKubernetesApi } from './kubernetes-api.ts'
import { type OtherAnswer, type OtherWebhook, startOtherWebhook } from './other-webhook.ts'
import { type RealWebhook, startRealWebhook } from './real-webhook.ts'
import { configured } from './webhook-configuration.ts'

const why = await whyNoProgram('go', 'etcd')
/** Kubernetes is compiled once. */
const COMPILE_MS = 45 * 60_000

const kind = 'MutatingWebhookConfiguration'
const artifacts = { [ANNOTATIONS.artifacts]: '/app: ghcr.io/acme/app:v1' }
const OURS = {
  name: 'oras-app',
  csi: {
    driver: DRIVER_NAME,
    readOnly: true,
    volumeAttributes: { 'oras.artifact.reference': 'ghcr.io/acme/app:v1' },
  },
}
const THEIRS = { name: 'oras-app', emptyDir: {} }
const MOUNT = { name: 'oras-app', mountPath: '/app', readOnly: true }
const CONFLICT =
  'Cannot add volume "oras-app" for oras.land/artifacts["/app"]: the pod has one of that name with other content: "emptyDir", not "ghcr.io/acme/app:v1" no secret; expected "name" in the entry to name it otherwise'

let stack: AsyncDisposableStack
let directory: TemporaryDirectory
let api: KubernetesApi
let client: ApiClient
let webhook: RealWebhook
let other: OtherWebhook

describe.skipIf(why !== undefined)(
  `the webhook among others of a real API server${why === undefined ? '' : ` (${why})`}`,
  () => {
    beforeAll(async () => {
      stack = new AsyncDisposableStack()
      directory = stack.use(await temporaryDirectory())
      api = stack.use(await startKubernetesApi())
      client = stack.use(await startApiClient(api))
      webhook = stack.use(await startRealWebhook())
      other = stack.use(await startOtherWebhook())
      await api.kubectl.run('create', 'namespace', 'shop')
      const { url, ca } = webhook
      stack.use(await configured(api, { kind, url, ca }))
      await poll(async () => objectsAt(objectIn(await dryRun(), 'spec'), 'volumes').length > 0, {
        deadlineMs: 60_000,
        what: 'the webhook to be called',
      })
    }, COMPILE_MS)
    afterAll(() => stack.disposeAsync())

    test('mounts the artifact in a container that a later webhook adds, and tells so in the status', async () => {
      await using _ = await joined('zz-sidecars', addsContainer)
      const made = await dryRun(podObject({ name: 'sidecar' }))
      expect(mountsOf(made)).toEqual({ main: [MOUNT], agent: [MOUNT] })
      expect(objectIn(made, 'spec')['volumes']).toEqual([OURS])
      expect(statusOf(made)).toEqual({
        volumes: [
          {
            name: 'oras-app',
            reference: 'ghcr.io/acme/app:v1',
            mounts: [
              { container: 'main', mountPath: '/app' },
              { container: 'agent', mountPath: '/app' },
            ],
          },
        ],
      })
      // Asked, and once more because of what the other did.
      expect(await resultsFor('sidecar')).toEqual(['patched', 'patched'])
    })

    test('mounts nothing in a later container that no name or glob of the entry matches', async () => {
      await using _ = await joined('zz-sidecars', addsContainer)
      const value = '/app: {reference: "ghcr.io/acme/app:v1", containers: ["ma*"]}'
      const made = await dryRun(
        podObject({ name: 'glob', annotations: { [ANNOTATIONS.artifacts]: value } }),
      )
      expect(mountsOf(made)).toEqual({ main: [MOUNT], agent: [] })
      expect(await resultsFor('glob')).toEqual(['patched', 'allowed'])
    })

    test('composes a container that an earlier webhook added in one call', async () => {
      await using _ = await joined('aa-sidecars', addsContainer)
      const made = await dryRun(podObject({ name: 'early' }))
      expect(mountsOf(made)).toEqual({ main: [MOUNT], agent: [MOUNT] })
      expect(await resultsFor('early')).toEqual(['patched'])
    })

    test.each([
      { name: 'an earlier webhook adds', configuration: 'aa-volumes', answer: addsVolume(THEIRS) },
      {
        name: 'a later webhook puts in place of ours',
        configuration: 'zz-volumes',
        answer: replacesVolume(THEIRS),
      },
    ])(
      'denies, naming both, a volume of our name that $name',
      async ({ configuration, answer }) => {
        await using _ = await joined(configuration, answer)
        const { status, body } = await client.createPod('shop', podObject(), '?dryRun=All')
        expect([status, body.message]).toEqual([
          409,
          `admission webhook "mutate.csi.oras.land" denied the request: ${CONFLICT}`,
        ])
      },
    )

    test('a second volume of our name behind ours is refused by the API server itself', async () => {
      await using _ = await joined('zz-volumes', addsVolume(THEIRS))
      const { status, body } = await client.createPod('shop', podObject(), '?dryRun=All')
      expect([status, body.message]).toEqual([
        422,
        expect.stringContaining('spec.volumes[1].name: Duplicate value: "oras-app"'),
      ])
    })

    test.each(['aa-volumes', 'zz-volumes'])(
      'takes the same volume from another webhook, called %s, for its own',
      async (configuration) => {
        await using _ = await joined(configuration, (object) =>
          volumesOf(object).some((one) => one['name'] === OURS.name)
            ? []
            : addsVolume(OURS)(object),
        )
        const made = await dryRun()
        expect(objectIn(made, 'spec')['volumes']).toEqual([OURS])
        expect(mountsOf(made)).toEqual({ main: [MOUNT] })
      },
    )

    test('a dry run composes, is logged as one, and leaves nothing', async () => {
      const shop = api.kubectl.in('shop')
      const file = await saved('dry.json', podObject({ name: 'dry' }))
      const text = await shop.run('create', '--dry-run=server', '-o', 'json', '-f', file)
      const made: JsonObject = JSON.parse(text)
      expect(objectIn(made, 'spec')['volumes']).toEqual([OURS])
      expect(await reviewsFor('dry')).toMatchObject([{ result: 'patched', dryRun: true }])
      await expect(shop.get('pod', 'dry')).rejects.toThrow('pods "dry" not found')
    })

    test.each(['Pod', 'Deployment'])(
      'a %s applied by the server twice changes nothing, and conflicts with nobody',
      async (subject) => {
        const shop = api.kubectl.in('shop')
        const object = subject === 'Pod' ? podObject({ name: 'applied' }) : deploymentObject()
        const file = await saved(`${subject}.json`, object)
        const apply = () => shop.run('apply', '--server-side', '-f', file)
        await apply()
        const first = await shop.get('-f', file, '--show-managed-fields')
        // Exit status 1 would say that there is a difference.
        expect(await shop.run('diff', '--server-side', '-f', file)).toBe('')
        expect(await apply()).toMatch(/ serverside-applied\n$/)
        const second = await shop.get('-f', file, '--show-managed-fields')
        expect(second).toEqual(first)
        // What the webhook adds is nobody's: whoever applies would else remove it the next time.
        const owned = JSON.stringify(first.metadata.managedFields)
        expect(owned).toContain('f:oras.land/artifacts')
        expect(owned).not.toMatch(/oras-app|oras\.land\/status/)
        if (subject === 'Pod') expect(first.spec.volumes).toEqual([OURS])
        else {
          expect(first.spec.template.spec.volumes).toBeUndefined()
          expect(first.spec.template.metadata.annotations).toEqual(artifacts)
        }
        await shop.run('delete', '-f', file, '--grace-period=0')
      },
    )

    test('a pod applied by the client twice changes nothing', async () => {
      const shop = api.kubectl.in('shop')
      const file = await saved('client.json', podObject({ name: 'client' }))
      await shop.run('apply', '-f', file)
      const first = await shop.get('pod', 'client')
      expect(await shop.run('diff', '-f', file)).toBe('')
      expect(await shop.run('apply', '-f', file)).toBe('pod/client unchanged\n')
      expect(await shop.get('pod', 'client')).toEqual(first)
      await shop.run('delete', 'pod', 'client', '--grace-period=0')
    })

    test('kubectl debug and labels change a composed pod without a word to the webhook', async () => {
      const shop = api.kubectl.in('shop')
      await shop.apply([podObject({ name: 'debugged' })])
      const first = await shop.get('pod', 'debugged')
      const debug = [
        'debug',
        'debugged',
        '--image=busybox',
        '--container=shell',
        '--profile=general',
      ]
      await shop.run(...debug, '--', 'sleep', '1')
      await shop.run('label', 'pod', 'debugged', 'a=b')
      const { ephemeralContainers, ...spec } = (await shop.get('pod', 'debugged')).spec
      expect(spec).toEqual(first.spec)
      expect(ephemeralContainers).toMatchObject([{ name: 'shell', command: ['sleep', '1'] }])
      expect(ephemeralContainers[0].volumeMounts).toBeUndefined()
      expect(await resultsFor('debugged')).toEqual(['patched'])
      await shop.run('delete', 'pod', 'debugged', '--grace-period=0')
    })
  },
)

function podObject(
  metadata: { readonly name?: string; readonly annotations?: object } = {},
): JsonObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'made', annotations: artifacts, ...metadata },
    spec: { containers: [{ name: 'main', image: 'busybox' }] },
  }
}

function deploymentObject(): JsonObject {
  const labels = { app: 'applied' }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'applied' },
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels, annotations: artifacts },
        spec: { containers: [{ name: 'main', image: 'busybox' }] },
      },
    },
  }
}

/** Writes an object for kubectl, and gives the file's path. */
async function saved(name: string, object: JsonObject): Promise<string> {
  const path = directory.file(name)
  await writeFile(path, JSON.stringify(object))
  return path
}

/** The pod as the API server would store it. @throws when it is refused */
async function dryRun(pod: JsonObject = podObject()): Promise<JsonObject> {
  const { status, body } = await client.createPod('shop', pod, '?dryRun=All')
  if (status !== 201) throw new Error(`${status}: ${body.message}`)
  return body
}

/** What our webhook logged of a pod. Whatever it was asked before this is in it: one more review is waited for. */
async function reviewsFor(name: string): Promise<ReturnType<RealWebhook['reviews']>> {
  const last = `after-${name}`
  const of = (pod: string) => webhook.reviews().filter(({ owner }) => owner === `Pod/${pod}`)
  await dryRun(podObject({ name: last }))
  await poll(() => of(last).length > 0, { deadlineMs: 30_000, what: 'the log of a review' })
  return of(name)
}

async function resultsFor(name: string): Promise<unknown[]> {
  return (await reviewsFor(name)).map(({ result }) => result)
}

/** The other webhook, called before or after ours according to the name of its configuration, once it is. */
async function joined(name: string, answer: OtherAnswer): Promise<AsyncDisposable> {
  const { url, ca } = other
  other.answer(answer)
  await using stack = new AsyncDisposableStack()
  stack.use(await configured(api, { kind, url, ca, name }))
  await poll(
    async () => {
      await client.createPod('shop', podObject(), '?dryRun=All')
      return other.seen.length > 0
    },
    { deadlineMs: 60_000, what: 'the other webhook to be called' },
  )
  const running = stack.move()
  return {
    [Symbol.asyncDispose]: async () => {
      await running.disposeAsync()
      await poll(
        async () => {
          other.answer(() => [])
          await client.createPod('shop', podObject(), '?dryRun=All')
          return other.seen.length === 0
        },
        { deadlineMs: 60_000, what: 'the other webhook to be forgotten' },
      )
    },
  }
}

const AGENT = { name: 'agent', image: 'busybox' }

function addsContainer(object: JsonObject): readonly object[] {
  const containers = objectsAt(objectIn(object, 'spec'), 'containers')
  if (containers.some(({ name }) => name === AGENT.name)) return []
  return [{ op: 'add', path: '/spec/containers/-', value: AGENT }]
}

function addsVolume(volume: object): OtherAnswer {
  return (object) =>
    volumesOf(object).length === 0
      ? [{ op: 'add', path: '/spec/volumes', value: [volume] }]
      : [{ op: 'add', path: '/spec/volumes/-', value: volume }]
}

function replacesVolume(volume: object): OtherAnswer {
  return (object) =>
    volumesOf(object).map((_, at) => ({
      op: 'replace',
      path: `/spec/volumes/${at}`,
      value: volume,
    }))
}

function volumesOf(object: JsonObject): readonly JsonObject[] {
  return objectsAt(objectIn(object, 'spec'), 'volumes')
}

function mountsOf(pod: JsonObject): object {
  return Object.fromEntries(
    objectsAt(objectIn(pod, 'spec'), 'containers').map((container) => [
      container['name'],
      container['volumeMounts'] ?? [],
    ]),
  )
}

function statusOf(pod: JsonObject): unknown {
  return JSON.parse(String(objectIn(pod, 'metadata', 'annotations')[ANNOTATIONS.status]))
}

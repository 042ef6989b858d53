import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ApiClient, openApiClient } from '../../common/kubernetes/api-client.ts'
import { createMetrics } from '../../common/metrics.ts'
import { addEventMetrics } from '../../driver/events/event-metrics.ts'
import { startEventRecorder } from '../../driver/events/event-recorder.ts'
import { createEventWriter } from '../../driver/events/event-writer.ts'
import type { PodEvent } from '../../driver/events/pod-event.ts'
import { createStartupTaint } from '../../driver/startup-taint/startup-taint.ts'
import { silentLog } from '../driver/store/open-test-store.ts'
import { CHECKOUT } from '../manifests/manifest-objects.ts'
import { artifact, push } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { poll } from '../support/poll.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless, whyNoProgram } from '../support/skip-unless.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts'
import { type KubernetesApi, startKubernetesApi } from './kubernetes-api.ts'

const why = await whyNoProgram('go', 'etcd')
const KEY = 'csi.oras.land/agent-not-ready'
const OTHER = { key: 'example.com/other', effect: 'NoSchedule' }
const NAMESPACE = 'oras-csi-node'
const COMPONENTS = join(CHECKOUT, 'manifests/components')
const WAIT = { deadlineMs: 60_000, what: 'the API server to have it' }
const never = new AbortController().signal

/** As the driver on node-1 writes them. */
const EVENT = {
  apiVersion: 'v1',
  kind: 'Event',
  metadata: { name: 'app.1', namespace: NAMESPACE },
  involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace: NAMESPACE, name: 'app', uid: 'u' },
  ...{ type: 'Normal', reason: 'PulledArtifact', message: 'x', count: 1 },
  source: { component: 'csi.oras.land', host: 'node-1' },
  reportingComponent: 'csi.oras.land',
  reportingInstance: 'node-1',
}

let cluster: KubernetesApi
let directory: TemporaryDirectory
let api: ApiClient

/** What the driver may do with the rights that the components give, told by a real API server. */
describe.skipIf(why !== undefined)(`the driver${why === undefined ? '' : ` (${why})`}`, () => {
  beforeAll(async () => {
    cluster = await startKubernetesApi()
    directory = await temporaryDirectory()
    const { kubectl, url } = cluster
    await kubectl.apply([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } },
      account(NAMESPACE, 'oras-csi-driver'),
      account(NAMESPACE, 'default'),
      node('node-1', [{ key: KEY, effect: 'NoSchedule' }, OTHER]),
      node('node-2', [{ key: KEY, effect: 'NoSchedule' }]),
      pod('driver', 'oras-csi-driver'),
      pod('app', 'default'),
    ])
    for (const file of [
      'events/policy.yaml',
      'events/rbac.yaml',
      'startup-taint/rbac.yaml',
      'startup-taint/policy.yaml',
    ]) {
      await kubectl.run('apply', '-f', join(COMPONENTS, file))
    }
    const token = await kubectl.run(
      ...['create', 'token', 'oras-csi-driver', `--namespace=${NAMESPACE}`],
      ...['--bound-object-kind=Pod', '--bound-object-name=driver'],
    )
    await writeFile(directory.file('token'), token)
    await writeFile(directory.file('ca.crt'), await readFile(cluster.caFile))
    api = openApiClient({ account: { url, directory: directory.path } })
    // Rights and policies are in force a moment after they are there.
    const label = { metadata: { labels: { a: 'b' } } }
    await poll(async () => (await change('node-2?dryRun=All', label)).status === 422, WAIT)
    const path = `/api/v1/namespaces/${NAMESPACE}/events?dryRun=All`
    const body = { ...EVENT, reportingComponent: 'other' }
    await poll(
      async () => (await api.send({ method: 'POST', path, body }, never)).status === 422,
      WAIT,
    )
  }, 900_000)

  afterAll(async () => {
    await api?.[Symbol.asyncDispose]()
    await directory?.[Symbol.asyncDispose]()
    await cluster?.[Symbol.asyncDispose]()
  })

  test('writes events that kubectl shows with the pod, counted and with the latest message', async () => {
    const uid = await get('pod/app', '{.metadata.uid}')
    const metrics = createMetrics()
    await using recorder = startEventRecorder({
      writer: createEventWriter({ api, node: 'node-1' }),
      observer: addEventMetrics(metrics),
      log: silentLog(),
    })
    const say = (message: string) => {
      const event: PodEvent = {
        pod: { namespace: NAMESPACE, name: 'app', uid },
        ...{ type: 'Normal', reason: 'PullingArtifact', subject: 'r/a:v1', message },
      }
      recorder.record(event)
    }
    for (const [index, message] of [
      '15.0 GiB',
      '1.2 GiB of 15.0 GiB',
      'ä'.repeat(3_000),
    ].entries()) {
      say(message)
      await poll(
        async () => (await metrics.text()).includes(`oras_csi_events_written_total ${index + 1}\n`),
        WAIT,
      )
    }
    const described = await cluster.kubectl.run('describe', 'pod/app', `--namespace=${NAMESPACE}`)
    expect(described).toMatch(
      /Normal +PullingArtifact +\S+ \(x3 over \S+\) +csi\.oras\.land +ä{510}\.\.\./,
    )
  })

  test('takes the startup taint off its own node, and leaves the others', async () => {
    await using startup = createStartupTaint({
      ...{ api, node: 'node-1', key: KEY, log: silentLog() },
    })
    startup.registered()
    await poll(() => startup.isGone, WAIT)
    // The API server adds that the node is not ready.
    const keys = await get('node/node-1', '{.spec.taints[*].key}')
    expect(keys.split(' ')).toEqual([OTHER.key, 'node.kubernetes.io/not-ready'])
  })

  test('as a process tells a pod what it has pulled, and takes the taint off that came back', async (context) => {
    skipUnless(context, await whyNoMounts())
    const taint = { spec: { taints: [{ key: KEY, effect: 'NoExecute' }, OTHER] } }
    await cluster.kubectl.run('patch', 'node/node-1', '--patch', JSON.stringify(taint))
    await using registry = await startRegistry()
    const built = artifact({ layers: [{ title: 'file', content: 'x'.repeat(2_048) }] })
    await push(registry.url, 'acme/a:v1', built)
    await using local = await startNode(registry)
    const { hostname, port } = new URL(cluster.url)
    await using driver = await local.startDriver({
      env: { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port },
      args: [`--account-directory=${directory.path}`, `--startup-taint=${KEY}`],
    })
    const request = await local.request('one', `${registry.host}/acme/a:v1`)
    await driver.csi.nodePublishVolume(request)
    await poll(async () => {
      const events = await cluster.kubectl.run(
        ...['get', 'events', '--namespace=default', '--field-selector=reason=PulledArtifact'],
        ...['--output=jsonpath={.items[*].involvedObject.name}: {.items[*].message}'],
      )
      return events.startsWith(`one: Pulled artifact "${registry.host}/acme/a:v1" (2.0 KiB) in `)
    }, WAIT)
    await poll(async () => !(await get('node/node-1', '{.spec.taints[*].key}')).includes(KEY), WAIT)
    await driver.csi.nodeUnpublishVolume(request)
  })

  test.each([
    {
      name: "another node's taint",
      node: 'node-2',
      change: { spec: { taints: [] } },
      says: 'may change its own node only',
    },
    {
      name: 'another taint of its own node',
      node: 'node-1',
      change: { spec: { taints: [] } },
      says: 'may remove the taint',
    },
    {
      name: 'a taint that it makes up',
      node: 'node-1',
      change: { spec: { taints: [OTHER, { key: 'a', effect: 'NoExecute' }] } },
      says: 'may remove the taint',
    },
    {
      name: 'a label, by which pods are lured',
      node: 'node-1',
      change: { metadata: { labels: { trusted: 'yes' } } },
      says: 'may change nothing of its node but its startup taint',
    },
    {
      name: 'that pods may come or not',
      node: 'node-1',
      change: { spec: { unschedulable: true } },
      says: 'may change nothing of its node but its startup taint',
    },
  ])('may not change $name', async ({ node: name, change: body, says }) => {
    const { status, message } = await change(name, body)
    expect({ status, message }).toEqual({ status: 422, message: expect.stringContaining(says) })
  })

  test.each([
    {
      name: 'about something else than a pod',
      event: { ...EVENT, involvedObject: { ...EVENT.involvedObject, kind: 'Node' } },
      says: 'may tell of pods only, and as itself',
    },
    {
      name: "in another's name",
      event: { ...EVENT, reportingComponent: 'kubelet' },
      says: 'may tell of pods only, and as itself',
    },
    {
      name: 'of another node',
      event: { ...EVENT, source: { ...EVENT.source, host: 'node-2' } },
      says: 'may tell of its own node only',
    },
  ])('may not write an event $name', async ({ event, says }) => {
    const path = `/api/v1/namespaces/${NAMESPACE}/events`
    const { status, message } = await api.send({ method: 'POST', path, body: event }, never)
    expect({ status, message }).toEqual({ status: 422, message: expect.stringContaining(says) })
  })

  test('may not rewrite what the kubelet has said', async () => {
    const { metadata } = EVENT
    await cluster.kubectl.apply([
      { ...EVENT, metadata: { ...metadata, name: 'app.kubelet' }, reportingComponent: 'kubelet' },
    ])
    const { status, message } = await api.send(
      {
        ...{ method: 'PATCH', path: `/api/v1/namespaces/${NAMESPACE}/events/app.kubelet` },
        contentType: 'application/merge-patch+json',
        body: { message: 'All is well', reportingComponent: 'csi.oras.land' },
      },
      never,
    )
    expect({ status, message }).toEqual({
      status: 422,
      message: expect.stringContaining('may change its own events only'),
    })
  })

  test.each([
    ['GET', '/api/v1/secrets'],
    ['GET', `/api/v1/namespaces/${NAMESPACE}/events`],
    ['GET', '/api/v1/nodes'],
    ['PATCH', '/api/v1/nodes/node-1/status'],
    ['GET', `/api/v1/namespaces/${NAMESPACE}/pods/app`],
  ] as const)('may not %s %s', async (method, path) => {
    const body = { contentType: 'application/merge-patch+json', body: {} } as const
    const answer = await api.send({ method, path, ...(method === 'PATCH' && body) }, never)
    expect(answer.status).toBe(403)
  })
})

function change(name: string, body: unknown) {
  const contentType = 'application/merge-patch+json'
  return api.send({ method: 'PATCH', path: `/api/v1/nodes/${name}`, contentType, body }, never)
}

function get(object: string, path: string): Promise<string> {
  return cluster.kubectl.run(
    ...['get', object, `--namespace=${NAMESPACE}`, `--output=jsonpath=${path}`],
  )
}

function account(namespace: string, name: string) {
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace, name } }
}

function node(name: string, taints: readonly object[]) {
  return { apiVersion: 'v1', kind: 'Node', metadata: { name }, spec: { taints } }
}

function pod(name: string, serviceAccountName: string) {
  return {
    ...{ apiVersion: 'v1', kind: 'Pod', metadata: { namespace: NAMESPACE, name } },
    spec: { serviceAccountName, nodeName: 'node-1', containers: [{ name: 'a', image: 'a' }] },
  }
}

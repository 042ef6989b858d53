import { expect, test } from 'vitest'
import { openApiClient } from '../../../common/kubernetes/api-client.ts'
import { createMetrics } from '../../../common/metrics.ts'
import { addEventMetrics } from '../../../driver/events/event-metrics.ts'
import { startEventRecorder } from '../../../driver/events/event-recorder.ts'
import { createEventWriter } from '../../../driver/events/event-writer.ts'
import type { PodEvent } from '../../../driver/events/pod-event.ts'
import { type ApiImitation, type Fault, startApiImitation } from '../../support/api-imitation.ts'
import { parseMetrics, sampleOf } from '../../support/metrics.ts'
import { poll } from '../../support/poll.ts'
import { silentLog } from '../store/open-test-store.ts'

const EVENTS = '/api/v1/namespaces/default/events'
const WAIT = { deadlineMs: 30_000, what: 'events to be written or dropped' }

function event(pod: string, message = 'said', more: Partial<PodEvent> = {}): PodEvent {
  return {
    pod: { namespace: 'default', name: pod, uid: `uid-${pod}` },
    ...{ type: 'Normal', reason: 'PulledArtifact', subject: 'r/a:v1' },
    message,
    ...more,
  }
}

/** A recorder that writes to an API server; the time stands still unless it is moved. */
async function setUp(options: { fault?: Fault; maxWaiting?: number; timeoutMs?: number } = {}) {
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await startApiImitation())
  if (options.fault !== undefined) server.fault = () => options.fault
  const api = stack.use(
    openApiClient({
      account: { url: server.url, directory: server.accountDirectory },
      timeoutMs: options.timeoutMs ?? 10_000,
    }),
  )
  const metrics = createMetrics()
  const time = { ms: 0 }
  const recorder = stack.use(
    startEventRecorder({
      writer: createEventWriter({ api, node: 'node-1' }),
      observer: addEventMetrics(metrics),
      log: silentLog(),
      backoffMs: 1,
      now: () => time.ms,
      ...(options.maxWaiting !== undefined && { maxWaiting: options.maxWaiting }),
    }),
  )
  const counts = async () => {
    const families = parseMetrics(await metrics.text())
    const dropped = (reason: string) =>
      sampleOf(families, `oras_csi_events_dropped_total{reason="${reason}"}`) ?? 0
    return {
      written: sampleOf(families, 'oras_csi_events_written_total') ?? 0,
      'rate-limit': dropped('rate-limit'),
      'queue-full': dropped('queue-full'),
      refused: dropped('refused'),
      unavailable: dropped('unavailable'),
    }
  }
  /** Waits until so many have been written or dropped. */
  const settled = (total: number) =>
    poll(async () => {
      const found = await counts()
      return Object.values(found).reduce((sum, count) => sum + count, 0) === total && found
    }, WAIT)
  const made = stack.move()
  return {
    ...{ server, recorder, settled, counts, time },
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}

const NONE = { written: 0, 'rate-limit': 0, 'queue-full': 0, refused: 0, unavailable: 0 }

test('an event is an object of the pod, of which kubectl describe shows all that it has', async () => {
  await using set = await setUp()
  set.recorder.record(event('pod-1', 'Pulled artifact "r/a:v1" (1.0 KiB) in 0.1 s'))
  await set.settled(1)
  const [found] = set.server.events()
  expect(found).toEqual({
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: expect.stringMatching(/^pod-1\.[0-9a-f]{16}$/), namespace: 'default' },
    involvedObject: {
      ...{ apiVersion: 'v1', kind: 'Pod', namespace: 'default', name: 'pod-1', uid: 'uid-pod-1' },
    },
    type: 'Normal',
    reason: 'PulledArtifact',
    message: 'Pulled artifact "r/a:v1" (1.0 KiB) in 0.1 s',
    count: 1,
    firstTimestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
    lastTimestamp: found?.firstTimestamp,
    source: { component: 'csi.oras.land', host: 'node-1' },
    reportingComponent: 'csi.oras.land',
    reportingInstance: 'node-1',
  })
})

test('the same of a pod again counts the object up and shows the latest', async () => {
  await using set = await setUp()
  for (const [index, message] of ['1 of 3', '2 of 3', '3 of 3'].entries()) {
    set.recorder.record(event('pod-1', message))
    await set.settled(index + 1)
  }
  set.recorder.record(event('pod-1', 'other', { subject: 'r/b:v1' }))
  await set.settled(4)
  expect(set.server.events().map(({ count, message }) => ({ count, message }))).toEqual([
    { count: 3, message: '3 of 3' },
    { count: 1, message: 'other' },
  ])
  expect(set.server.calls.map(({ method }) => method)).toEqual(['POST', 'PATCH', 'PATCH', 'POST'])
})

test('what waits to be written is overtaken by what comes later, and counted', async () => {
  await using set = await setUp({ fault: 'hang', timeoutMs: 1_000 })
  set.recorder.record(event('pod-0'))
  await poll(() => set.server.calls.length === 1, WAIT)
  for (let index = 1; index <= 1_000; index += 1) {
    set.recorder.record(event('pod-1', `${index} of 1000`))
  }
  set.server.fault = () => undefined
  // The first is tried again when its request has timed out: by then, it is one of two.
  await poll(() => set.server.events().length === 2, WAIT)
  expect(set.server.events().map(({ count, message }) => ({ count, message }))).toEqual([
    { count: 1, message: 'said' },
    { count: 1_000, message: '1000 of 1000' },
  ])
})

test('an event that the API server has forgotten is made anew', async () => {
  await using set = await setUp()
  set.recorder.record(event('pod-1'))
  await set.settled(1)
  set.server.objects.clear()
  set.recorder.record(event('pod-1', 'again'))
  await set.settled(2)
  expect(set.server.events().map(({ count, message }) => ({ count, message }))).toEqual([
    { count: 1, message: 'again' },
  ])
})

test.each<{ name: string; fault: Fault }>([
  { name: 'overloaded', fault: { status: 429, message: 'slow down' } },
  {
    name: 'overloaded and says for how long',
    fault: { status: 429, message: 'slow', retryAfterSeconds: 1 },
  },
  { name: 'broken', fault: { status: 500, message: 'etcd' } },
  { name: 'closing connections', fault: 'close' },
  { name: 'dying within its answers', fault: 'half' },
])('an API server that is $name is tried again', async ({ fault }) => {
  await using set = await setUp()
  let calls = 0
  set.server.fault = () => (++calls < 3 ? fault : undefined)
  set.recorder.record(event('pod-1'))
  expect(await set.settled(1)).toEqual({ ...NONE, written: 1 })
  expect(set.server.events()).toHaveLength(1)
})

test('one that stays so is given up after four tries for each event', async () => {
  await using set = await setUp({ fault: { status: 500, message: 'etcd' } })
  set.recorder.record(event('pod-1'))
  set.recorder.record(event('pod-2'))
  expect(await set.settled(2)).toEqual({ ...NONE, unavailable: 2 })
  expect(set.server.calls).toHaveLength(8)
})

test.each([403, 404, 422])('a refusal (%d) is not tried again', async (status) => {
  await using set = await setUp({ fault: { status, message: 'no' } })
  set.recorder.record(event('pod-1'))
  expect(await set.settled(1)).toEqual({ ...NONE, refused: 1 })
  expect(set.server.calls).toHaveLength(1)
})

test('an API server that hangs costs one request at a time and as many events as may wait', async () => {
  await using set = await setUp({ fault: 'hang', maxWaiting: 50, timeoutMs: 600_000 })
  set.recorder.record(event('pod-first'))
  await poll(() => set.server.calls.length === 1, WAIT)
  for (let index = 0; index < 10_000; index += 1) {
    // A second each: the rates do not bound it.
    set.time.ms += 1_000
    set.recorder.record(event(`pod-${index}`))
  }
  expect(await set.counts()).toEqual({ ...NONE, 'queue-full': 9_950 })
  expect(set.server.calls).toHaveLength(1)
})

test('ten thousand pods at once are told no more than the burst of a node', async () => {
  await using set = await setUp()
  for (let index = 0; index < 10_000; index += 1) set.recorder.record(event(`pod-${index}`))
  expect(await set.settled(10_000)).toEqual({ ...NONE, written: 100, 'rate-limit': 9_900 })
  expect(set.server.events()).toHaveLength(100)
  // And ten more a second later.
  set.time.ms += 1_000
  for (let index = 0; index < 20; index += 1) set.recorder.record(event(`later-${index}`))
  expect(await set.settled(10_020)).toEqual({ ...NONE, written: 110, 'rate-limit': 9_910 })
})

test('one pod that is told much takes little of what the others may be told', async () => {
  await using set = await setUp()
  for (let index = 0; index < 1_000; index += 1) {
    set.recorder.record(event('loud', 'x', { subject: `r/${index}` }))
  }
  set.recorder.record(event('quiet'))
  expect(await set.settled(1_001)).toEqual({ ...NONE, written: 26, 'rate-limit': 975 })
  expect(set.server.events().at(-1)?.involvedObject['name']).toBe('quiet')
})

test.each([
  { name: 'a namespace that leads elsewhere', pod: { namespace: '..', name: 'a', uid: 'u' } },
  { name: 'a path', pod: { namespace: 'a/../b', name: 'a', uid: 'u' } },
  { name: 'a query', pod: { namespace: 'a?dryRun=All', name: 'a', uid: 'u' } },
  { name: 'no name', pod: { namespace: 'a', name: '', uid: 'u' } },
  { name: 'no uid', pod: { namespace: 'a', name: 'a', uid: '' } },
  { name: 'capitals', pod: { namespace: 'a', name: 'A', uid: 'u' } },
])('a pod with $name, as only a caller by hand has, is told nothing', async ({ pod }) => {
  await using set = await setUp()
  set.recorder.record(event('x', 'x', { pod }))
  set.recorder.record(event('good'))
  expect(await set.settled(1)).toEqual({ ...NONE, written: 1 })
  expect(set.server.calls.map(({ path }) => path)).toEqual([EVENTS])
})

test('a pod with the longest name has events too', async () => {
  await using set = await setUp()
  const name = `${'a'.repeat(199)}.${'b'.repeat(53)}`
  set.recorder.record(event(name))
  expect(await set.settled(1)).toEqual({ ...NONE, written: 1 })
  expect(set.server.events()[0]?.metadata.name).toMatch(/^a{199}\.[0-9a-f]{16}$/)
})

test('a message of any length is cut to what the API takes', async () => {
  await using set = await setUp()
  set.recorder.record(event('pod-1', 'ä'.repeat(5_000)))
  await set.settled(1)
  const message = set.server.events()[0]?.message ?? ''
  expect(Buffer.byteLength(message)).toBe(1_023)
  expect(message).toBe(`${'ä'.repeat(510)}...`)
})

test('the end of the driver waits for no API server', async () => {
  const set = await setUp({ fault: 'hang', timeoutMs: 600_000 })
  set.recorder.record(event('pod-1'))
  set.recorder.record(event('pod-2'))
  await poll(() => set.server.calls.length === 1, WAIT)
  await set[Symbol.asyncDispose]()
  set.recorder.record(event('pod-3'))
  expect(await set.counts()).toEqual(NONE)
  expect(messagesOf(set.server)).toEqual([])
})

function messagesOf(server: ApiImitation): readonly string[] {
  return server.events().map(({ message }) => message)
}

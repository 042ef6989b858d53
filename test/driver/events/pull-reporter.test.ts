import { expect, test, vi } from 'vitest'
import { CodedError } from '../../../common/errors.ts'
import { keyringOf } from '../../../common/oci/credentials.ts'
import { parseReference } from '../../../common/oci/reference.ts'
import type { PodEvent } from '../../../driver/events/pod-event.ts'
import { createPullReporter } from '../../../driver/events/pull-reporter.ts'
import type { Progress } from '../../../driver/pull/jobs.ts'
import type { Puller } from '../../../driver/pull/puller.ts'
import type { Tree } from '../../../driver/store/trees.ts'
import { poll } from '../../support/poll.ts'

const POD = { namespace: 'default', name: 'pod-1', uid: 'uid-1' }
const SOURCE = { reference: parseReference('ghcr.io/acme/app:v1') } as Parameters<
  Puller['ensureTree']
>[0]
const GIB = 1024 ** 3
const TREE = { key: 'a'.repeat(64), meta: { bytes: 15 * GIB } } as Tree
const CALL = {
  keyring: keyringOf({}, { label: 'secret', namespace: 'default' }),
  signal: new AbortController().signal,
}

/** So that a test hears of the end only. */
const NOTHING_YET = { shortMs: 600_000, progressMs: 600_000 }

/** A pull that a test decides about, reported with the times given. */
function setUp(options: { shortMs?: number; progressMs?: number } = NOTHING_YET) {
  const told: PodEvent[] = []
  const time = { ms: 0 }
  const reporter = createPullReporter({
    recorder: { record: (event) => told.push(event) },
    now: () => time.ms,
    ...options,
  })
  let progress: Progress | undefined
  let outcome = Promise.withResolvers<Tree>()
  let isPulled = true
  const puller: Puller = {
    async ensureTree(_, call) {
      if (isPulled) call.onPull?.(() => progress)
      return outcome.promise
    },
    [Symbol.asyncDispose]: async () => undefined,
  }
  return {
    ...{ told, time, reporter },
    texts: () => told.map(({ reason, message }) => `${reason}: ${message}`),
    at: (found: Progress | undefined) => {
      progress = found
    },
    start(pulled = true) {
      isPulled = pulled
      outcome = Promise.withResolvers<Tree>()
      const { promise, resolve, reject } = outcome
      const result = reporter.watch(puller, POD).ensureTree(SOURCE, CALL)
      void promise.catch(() => undefined)
      return { result, resolve, reject }
    },
  }
}

const WAIT = { deadlineMs: 20_000, what: 'an event' }

test('what the node has is not told', async () => {
  const set = setUp()
  const { result, resolve } = set.start(false)
  resolve(TREE)
  await result
  expect(set.told).toEqual([])
})

test('a short pull is told once, when it is over', async () => {
  const set = setUp()
  const { result, resolve } = set.start()
  set.time.ms = 1_340
  resolve(TREE)
  expect(await result).toBe(TREE)
  expect(set.told).toEqual([
    {
      ...{ pod: POD, type: 'Normal', reason: 'PulledArtifact', subject: 'ghcr.io/acme/app:v1' },
      message: 'Pulled artifact "ghcr.io/acme/app:v1" (15.0 GiB) in 1.3 s',
    },
  ])
})

test('a long pull is told with its size after a second, every 30 s how far it is, and its end', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  using _ = { [Symbol.dispose]: () => vi.useRealTimers() }
  const set = setUp({})
  const pass = (ms: number) => {
    set.time.ms += ms
    vi.advanceTimersByTime(ms)
  }
  set.at({ done: 0, total: 15 * GIB })
  const { result, resolve } = set.start()
  pass(999)
  expect(set.told).toEqual([])
  pass(1)
  set.at({ done: 1.2 * GIB, total: 15 * GIB })
  pass(29_999)
  expect(set.told).toHaveLength(1)
  pass(1)
  set.at({ done: 9 * GIB, total: 15 * GIB })
  pass(30_000)
  pass(1_000)
  resolve(TREE)
  await result
  pass(600_000)
  expect(set.texts()).toEqual([
    'PullingArtifact: Pulling artifact "ghcr.io/acme/app:v1": 15.0 GiB',
    'PullingArtifact: Pulling artifact "ghcr.io/acme/app:v1": 1.2 GiB of 15.0 GiB',
    'PullingArtifact: Pulling artifact "ghcr.io/acme/app:v1": 9.0 GiB of 15.0 GiB',
    'PulledArtifact: Pulled artifact "ghcr.io/acme/app:v1" (15.0 GiB) in 62 s',
  ])
})

test('a pull of which nothing is known yet is told without a size', async () => {
  const set = setUp({ shortMs: 0 })
  const { result, resolve } = set.start()
  await poll(() => set.told.length > 0, WAIT)
  resolve(TREE)
  await result
  expect(set.texts()[0]).toBe('PullingArtifact: Pulling artifact "ghcr.io/acme/app:v1"')
})

test('a pull over several calls of the kubelet is one: also when it ends between two', async () => {
  const set = setUp()
  const first = set.start()
  set.time.ms = 100_000
  first.reject(new CodedError('PENDING', 'Still pulling'))
  await expect(first.result).rejects.toThrow('Still pulling')
  const second = set.start(false)
  set.time.ms = 125_000
  second.resolve(TREE)
  await second.result
  expect(set.texts()).toEqual([
    'PulledArtifact: Pulled artifact "ghcr.io/acme/app:v1" (15.0 GiB) in 2 min 5 s',
  ])
})

test('a pull that fails is left to the kubelet, and the next one begins anew', async () => {
  const set = setUp()
  const first = set.start()
  set.time.ms = 100_000
  first.reject(new CodedError('NOT_FOUND', 'No such manifest'))
  await expect(first.result).rejects.toThrow('No such manifest')
  const second = set.start()
  set.time.ms = 100_500
  second.resolve(TREE)
  await second.result
  expect(set.texts()).toEqual([
    'PulledArtifact: Pulled artifact "ghcr.io/acme/app:v1" (15.0 GiB) in 0.5 s',
  ])
})

test('who waits again for what was evicted is told so', async () => {
  const set = setUp()
  const item = { kind: 'tree', key: TREE.key, bytes: 1, inodes: 1, usedMs: 0, uses: [] } as const
  set.reporter.evicted(item, 'high-bytes' as Parameters<typeof set.reporter.evicted>[1])
  set.time.ms = 1_200_000
  const { result, resolve } = set.start()
  set.time.ms = 1_205_000
  resolve(TREE)
  await result
  expect(set.texts()).toEqual([
    'PulledArtifact: Pulled artifact "ghcr.io/acme/app:v1" (15.0 GiB) in 5.0 s, again: this node had evicted it 20 min 5 s before',
  ])
})

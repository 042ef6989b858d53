import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { CodedError } from '../../../../common/errors.ts'
import type { TreeJob } from '../../../../driver/pull/tree/tree-job.ts'
import { createTreeWorkers } from '../../../../driver/pull/tree/tree-workers.ts'
import { createWatermark } from '../../../../driver/pull/watermark.ts'
import { type TarEntry, tarOf } from '../../../support/tar.ts'
import { failureText, NEVER, treeFixture } from './tree-fixture.ts'

/** What it came to, as a value. */
function outcome(work: Promise<unknown>): Promise<unknown> {
  return work.catch((error: unknown) => (error instanceof CodedError ? failureText(error) : error))
}

function manyFiles(count: number): Buffer {
  const entries: TarEntry[] = []
  for (let i = 0; i < count; i++)
    entries.push({ path: `d${i % 50}/f${i}`, content: 'x'.repeat(100) })
  return tarOf(entries)
}

/** Descriptors of this process that point below a directory. */
function openBelow(directory: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`)
      return target.startsWith(directory) ? [target] : []
    } catch {
      // Closed meanwhile: the listing's own.
      return []
    }
  })
}

test('a tree is built in a thread', async () => {
  await using fixture = await treeFixture()
  await using workers = createTreeWorkers({ size: 1 })
  expect(
    await workers.build(fixture.job([[{ path: 'd/f', content: 'x' }]]), { signal: NEVER }),
  ).toEqual({
    files: 1,
    directories: 1,
    links: 0,
    bytes: 1,
  })
  expect(fixture.tree()).toMatchObject({ 'd/f': 'file 644 @1700000000 x' })
})

test('more jobs than threads wait for their turn, each with an outcome of its own', async () => {
  await using workers = createTreeWorkers({ size: 2 })
  const outcomes = await Promise.all(
    Array.from({ length: 12 }, async (_, i) => {
      await using fixture = await treeFixture()
      const path = i % 3 === 0 ? '../f' : 'f'
      return await outcome(
        workers.build(fixture.job([[{ path, content: 'x'.repeat(i) }]]), { signal: NEVER }),
      )
    }),
  )
  expect(outcomes).toEqual(
    Array.from({ length: 12 }, (_, i) =>
      i % 3 === 0
        ? 'INVALID Cannot unpack layer: entry "../f": its name has ".." in it'
        : { files: 1, directories: 0, links: 0, bytes: i },
    ),
  )
})

test('a bug in the thread is INTERNAL, with its stack as the cause', async () => {
  await using fixture = await treeFixture()
  await using workers = createTreeWorkers({ size: 1 })
  const job: TreeJob = { ...fixture.job([]), root: `${fixture.root}/none` }
  const error = await workers.build(job, { signal: NEVER }).catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'INTERNAL', name: 'CodedError' })
  expect((error as CodedError).cause).toMatchObject({
    stack: expect.stringContaining('ENOENT: no such file or directory'),
  })
})

test('a cancelled job stops, leaves no descriptor open, and the next one runs', async () => {
  await using fixture = await treeFixture()
  await using workers = createTreeWorkers({ size: 1 })
  const cancelled = new AbortController()
  const job = fixture.job([manyFiles(40_000)])
  const running = outcome(workers.build(job, { signal: cancelled.signal }))
  await expect
    .poll(() => readdirSync(fixture.root).length, { interval: 1, timeout: 20_000 })
    .toBeGreaterThan(0)
  cancelled.abort(new Error('nobody waits'))
  expect(await running).toEqual(new Error('nobody waits'))
  const entries = readdirSync(fixture.root, { recursive: true }).length
  expect(openBelow(fixture.directory)).toEqual([])
  await using other = await treeFixture()
  expect(await workers.build(other.job([[{ path: 'f' }]]), { signal: NEVER })).toMatchObject({
    files: 1,
  })
  expect(readdirSync(fixture.root, { recursive: true })).toHaveLength(entries)
})

test('a cancelled job that does not stop by itself is terminated, its descriptors closed', async () => {
  await using fixture = await treeFixture()
  await using workers = createTreeWorkers({ size: 1, graceMs: 0 })
  const cancelled = new AbortController()
  // Copied, because it cannot be linked, and without an end.
  const job = fixture.job([{ kind: 'link', blobPath: '/dev/zero', path: 'd/f' }])
  const running = outcome(workers.build(job, { signal: cancelled.signal }))
  await expect
    .poll(() => existsSync(join(fixture.root, 'd/f')), { interval: 1, timeout: 20_000 })
    .toBe(true)
  cancelled.abort(new Error('nobody waits'))
  expect(await running).toEqual(new Error('nobody waits'))
  expect(openBelow(fixture.directory)).toEqual([])
  await using other = await treeFixture()
  expect(await workers.build(other.job([[{ path: 'f' }]]), { signal: NEVER })).toMatchObject({
    files: 1,
  })
})

test('a job that is cancelled while it waits is never begun', async () => {
  await using fixture = await treeFixture()
  await using other = await treeFixture()
  await using workers = createTreeWorkers({ size: 1 })
  const first = workers.build(fixture.job([manyFiles(2000)]), { signal: NEVER })
  const waiting = new AbortController()
  const second = outcome(workers.build(other.job([[{ path: 'f' }]]), { signal: waiting.signal }))
  waiting.abort(new Error('gone'))
  expect(await second).toEqual(new Error('gone'))
  expect(await first).toMatchObject({ files: 2000 })
  expect(other.tree()).toEqual({ '.': 'directory 700' })
  await expect(
    workers.build(other.job([]), { signal: AbortSignal.abort(new Error('late')) }),
  ).rejects.toThrow('late')
})

test('a thread that dies for want of memory fails its own job only, and is replaced', async () => {
  await using fixture = await treeFixture()
  await using workers = createTreeWorkers({ size: 1, maxHeapMib: 10 })
  // An image's layer remembers what it placed: more names than the heap holds.
  const entries = Array.from({ length: 60_000 }, (_, i) => ({
    path: `${'n'.repeat(200)}${i}`,
    type: 'hardlink' as const,
    linkname: 'f',
  }))
  const job = fixture.job([[{ path: 'f' }, ...entries]], { flavour: 'image' })
  await using other = await treeFixture()
  const [died, next] = await Promise.all([
    outcome(workers.build(job, { signal: NEVER })),
    outcome(workers.build(other.job([[{ path: 'f' }]]), { signal: NEVER })),
  ])
  expect(died).toBe(
    'UNAVAILABLE Cannot unpack: the thread that did it ended unexpectedly (Worker terminated due to reaching memory limit: JS heap out of memory); it is tried again',
  )
  expect(next).toMatchObject({ files: 1 })
  expect(openBelow(fixture.directory)).toEqual([])
})

test('disposing stops what runs and what waits', async () => {
  await using fixture = await treeFixture()
  const workers = createTreeWorkers({ size: 1 })
  const outcomes = Promise.all([
    outcome(workers.build(fixture.job([manyFiles(20_000)]), { signal: NEVER })),
    outcome(workers.build(fixture.job([]), { signal: NEVER })),
  ])
  await workers[Symbol.asyncDispose]()
  const stopped = 'UNAVAILABLE Cannot unpack: the driver is stopping'
  expect(await outcomes).toEqual([stopped, stopped])
  expect(await outcome(workers.build(fixture.job([]), { signal: NEVER }))).toBe(stopped)
})

test('the main thread goes on meanwhile', async () => {
  await using fixture = await treeFixture()
  await using workers = createTreeWorkers({ size: 1 })
  const job = fixture.job([manyFiles(5_000)])
  let turns = 0
  let done = false
  const building = workers.build(job, { signal: NEVER }).finally(() => {
    done = true
  })
  while (!done) {
    turns++
    await new Promise((resolve) => setImmediate(resolve))
  }
  await building
  // Blocked, it would turn a few times only.
  expect(turns).toBeGreaterThan(300)
})

/** How many threads of this process bear the pool's name. */
function threads(): number {
  return readdirSync('/proc/self/task').filter(
    (task) => readFileSync(`/proc/self/task/${task}/comm`, 'utf8') === 'oras-csi tree\n',
  ).length
}

test('threads are started when there is work or it is announced, and end when there was none for a while', async () => {
  await using fixture = await treeFixture()
  await using workers = createTreeWorkers({ size: 2, idleMs: 200 })
  expect(threads()).toBe(0)
  workers.warm()
  workers.warm()
  await expect.poll(threads, { timeout: 10_000 }).toBe(1)
  expect(await workers.build(fixture.job([[{ path: 'f' }]]), { signal: NEVER })).toMatchObject({
    files: 1,
  })
  await expect.poll(threads, { timeout: 10_000 }).toBe(0)
  await using other = await treeFixture()
  expect(await workers.build(other.job([[{ path: 'f' }]]), { signal: NEVER })).toMatchObject({
    files: 1,
  })
})

test('a job that waits for a blob is cancelled, and the thread goes on', async () => {
  await using fixture = await treeFixture()
  await using workers = createTreeWorkers({ size: 1, graceMs: 60_000 })
  const cancelled = new AbortController()
  const asked = Promise.withResolvers<number>()
  const running = outcome(
    workers.build(fixture.job([[{ path: 'f' }]]), {
      signal: cancelled.signal,
      awaitBlob: (step) => {
        asked.resolve(step)
        return new Promise(() => {})
      },
    }),
  )
  expect(await asked.promise).toBe(0)
  cancelled.abort(new Error('nobody waits'))
  expect(await running).toEqual(new Error('nobody waits'))
  await using other = await treeFixture()
  expect(await workers.build(other.job([[{ path: 'f' }]]), { signal: NEVER })).toMatchObject({
    files: 1,
  })
})

test("a blob that does not come is the job's failure", async () => {
  await using fixture = await treeFixture()
  await using workers = createTreeWorkers({ size: 1 })
  const job = fixture.job([[{ path: 'f' }]])
  const awaitBlob = () => Promise.reject(new CodedError('CORRUPT', 'Other bytes'))
  expect(await outcome(workers.build(job, { signal: NEVER, awaitBlob }))).toBe(
    'CORRUPT Other bytes',
  )
})

test('a blob that is not in the store yet is never linked', async () => {
  await using fixture = await treeFixture()
  await using workers = createTreeWorkers({ size: 1 })
  const blobPath = fixture.blob('not verified')
  const job = fixture.job([{ kind: 'link', blobPath, path: 'f' }])
  const awaitBlob = async () => ({ path: blobPath, watermark: createWatermark(), size: 12 })
  expect(await outcome(workers.build(job, { signal: NEVER, awaitBlob }))).toBe(
    'INTERNAL Cannot place layer at "f": the log has the detail',
  )
  expect(fixture.tree()).toEqual({ '.': 'directory 700' })
})

test('places for jobs that wait are one less than threads, and are given back once', async () => {
  await using workers = createTreeWorkers({ size: 3 })
  const first = workers.takeFollowerPlace()
  expect([first, workers.takeFollowerPlace(), workers.takeFollowerPlace()]).toEqual([
    expect.anything(),
    expect.anything(),
    undefined,
  ])
  first?.[Symbol.dispose]()
  first?.[Symbol.dispose]()
  expect([workers.takeFollowerPlace(), workers.takeFollowerPlace()]).toEqual([
    expect.anything(),
    undefined,
  ])
})

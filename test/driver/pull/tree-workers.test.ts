import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { CodedError } from '../../../common/errors.ts'
import type { TreeJob } from '../../../driver/pull/tree-job.ts'
import { createTreeWorkers } from '../../../driver/pull/tree-workers.ts'
import { type TarEntry, tarOf } from '../../support/tar.ts'
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
  expect(await workers.build(fixture.job([[{ path: 'd/f', content: 'x' }]]), NEVER)).toEqual({
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
      return await outcome(workers.build(fixture.job([[{ path, content: 'x'.repeat(i) }]]), NEVER))
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
  const error = await workers.build(job, NEVER).catch((reason: unknown) => reason)
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
  const running = outcome(workers.build(job, cancelled.signal))
  await expect.poll(() => readdirSync(fixture.root).length, { interval: 1 }).toBeGreaterThan(0)
  cancelled.abort(new Error('nobody waits'))
  expect(await running).toEqual(new Error('nobody waits'))
  const entries = readdirSync(fixture.root, { recursive: true }).length
  expect(openBelow(fixture.directory)).toEqual([])
  await using other = await treeFixture()
  expect(await workers.build(other.job([[{ path: 'f' }]]), NEVER)).toMatchObject({ files: 1 })
  expect(readdirSync(fixture.root, { recursive: true })).toHaveLength(entries)
})

test('a cancelled job that does not stop by itself is terminated, its descriptors closed', async () => {
  await using fixture = await treeFixture()
  await using workers = createTreeWorkers({ size: 1, graceMs: 0 })
  const cancelled = new AbortController()
  // Copied, because it cannot be linked, and without an end.
  const job = fixture.job([{ kind: 'link', blobPath: '/dev/zero', path: 'd/f' }])
  const running = outcome(workers.build(job, cancelled.signal))
  await expect.poll(() => existsSync(join(fixture.root, 'd/f')), { interval: 1 }).toBe(true)
  cancelled.abort(new Error('nobody waits'))
  expect(await running).toEqual(new Error('nobody waits'))
  expect(openBelow(fixture.directory)).toEqual([])
  await using other = await treeFixture()
  expect(await workers.build(other.job([[{ path: 'f' }]]), NEVER)).toMatchObject({ files: 1 })
})

test('a job that is cancelled while it waits is never begun', async () => {
  await using fixture = await treeFixture()
  await using other = await treeFixture()
  await using workers = createTreeWorkers({ size: 1 })
  const first = workers.build(fixture.job([manyFiles(2000)]), NEVER)
  const waiting = new AbortController()
  const second = outcome(workers.build(other.job([[{ path: 'f' }]]), waiting.signal))
  waiting.abort(new Error('gone'))
  expect(await second).toEqual(new Error('gone'))
  expect(await first).toMatchObject({ files: 2000 })
  expect(other.tree()).toEqual({ '.': 'directory 700' })
  await expect(workers.build(other.job([]), AbortSignal.abort(new Error('late')))).rejects.toThrow(
    'late',
  )
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
    outcome(workers.build(job, NEVER)),
    outcome(workers.build(other.job([[{ path: 'f' }]]), NEVER)),
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
    outcome(workers.build(fixture.job([manyFiles(20_000)]), NEVER)),
    outcome(workers.build(fixture.job([]), NEVER)),
  ])
  await workers[Symbol.asyncDispose]()
  const stopped = 'UNAVAILABLE Cannot unpack: the driver is stopping'
  expect(await outcomes).toEqual([stopped, stopped])
  expect(await outcome(workers.build(fixture.job([]), NEVER))).toBe(stopped)
})

test('the main thread goes on meanwhile', async () => {
  await using fixture = await treeFixture()
  await using workers = createTreeWorkers({ size: 1 })
  const job = fixture.job([manyFiles(5_000)])
  let turns = 0
  let done = false
  const building = workers.build(job, NEVER).finally(() => {
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

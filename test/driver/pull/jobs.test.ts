import { expect, test } from 'vitest'
import { createJobs, type JobContext } from '../../../driver/pull/jobs.ts'

const never = new AbortController().signal

test('any number of callers share one run', async () => {
  await using jobs = createJobs<number>()
  let runs = 0
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const start = async () => {
    runs += 1
    await gate
    return runs
  }
  const callers = Array.from({ length: 50 }, () => jobs.join('k', start, never))
  expect(jobs.size).toBe(1)
  open()
  expect(new Set(await Promise.all(callers))).toEqual(new Set([1]))
  expect(jobs.size).toBe(0)
})

test('a caller whose time is up leaves, the job goes on, and the next caller joins it', async () => {
  await using jobs = createJobs<string>()
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  let runs = 0
  const start = async (job: JobContext) => {
    runs += 1
    job.reportProgress(() => ({ done: 3, total: 10 }))
    await gate
    return 'made'
  }
  const hurried = new AbortController()
  const first = jobs.join('k', start, hurried.signal)
  hurried.abort(new Error('time is up'))
  await expect(first).rejects.toThrow('time is up')
  expect(jobs.progress('k')).toEqual({ done: 3, total: 10 })
  const second = jobs.join('k', start, never)
  open()
  expect(await second).toBe('made')
  expect(runs).toBe(1)
})

test('a job nobody waits for is cancelled after a while, and a later caller starts afresh', async () => {
  await using jobs = createJobs<string>({ lingerMs: 1 })
  const hurried = new AbortController()
  const { promise: cancelled, resolve: noteCancel } = Promise.withResolvers<void>()
  const first = jobs.join(
    'k',
    ({ signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          noteCancel()
          reject(signal.reason)
        })
      }),
    hurried.signal,
  )
  hurried.abort(new Error('time is up'))
  await expect(first).rejects.toThrow('time is up')
  await cancelled
  expect(await jobs.join('k', async () => 'again', never)).toBe('again')
})

test('a failure reaches everybody who waits and is not remembered', async () => {
  await using jobs = createJobs<string>()
  const fail = async () => {
    throw new Error('no')
  }
  const both = [jobs.join('k', fail, never), jobs.join('k', fail, never)]
  for (const caller of both) await expect(caller).rejects.toThrow('no')
  expect(await jobs.join('k', async () => 'yes', never)).toBe('yes')
})

test('disposing cancels what runs and waits for its end', async () => {
  const jobs = createJobs<string>()
  let ended = false
  const waiting = jobs.join(
    'k',
    async ({ signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      ended = true
      throw signal.reason
    },
    never,
  )
  const outcome = expect(waiting).rejects.toThrow('the driver is stopping')
  await jobs[Symbol.asyncDispose]()
  expect(ended).toBe(true)
  await outcome
})

test('a cancelled job that ends late does not take its successor off the map', async () => {
  await using jobs = createJobs<number>({ lingerMs: 1 })
  const old = Promise.withResolvers<number>()
  const next = Promise.withResolvers<number>()
  const cancelled = Promise.withResolvers<void>()
  const hurried = new AbortController()
  const first = jobs.join(
    'k',
    ({ signal }) => {
      signal.addEventListener('abort', () => cancelled.resolve())
      return old.promise
    },
    hurried.signal,
  )
  hurried.abort(new Error('up'))
  await expect(first).rejects.toThrow('up')
  await cancelled.promise
  const second = jobs.join('k', () => next.promise, never)
  old.resolve(1)
  await old.promise
  await new Promise((resolve) => setImmediate(resolve))
  let runs = 0
  const third = jobs.join(
    'k',
    async () => {
      runs += 1
      return 3
    },
    never,
  )
  next.resolve(2)
  expect(await second).toBe(2)
  expect([await third, runs]).toEqual([2, 0])
})

class Refused extends Error {}

/** A job that ends as its gate says, and who has started one. */
function gatedJobs() {
  const jobs = createJobs<string>({ isPersonal: (error) => error instanceof Refused })
  const started: string[] = []
  const gates = new Map<string, PromiseWithResolvers<string>>()
  return {
    jobs,
    started,
    join: (caller: string) => {
      const gate = gates.get(caller) ?? Promise.withResolvers<string>()
      gates.set(caller, gate)
      const start = () => {
        started.push(caller)
        return gate.promise
      }
      const result = jobs.join('k', start, never, caller)
      result.catch(() => undefined)
      return result
    },
    refuse: (caller: string) => gates.get(caller)?.reject(new Refused(`not ${caller}`)),
    fail: (caller: string) => gates.get(caller)?.reject(new Error(`broken for ${caller}`)),
    finish: (caller: string) => gates.get(caller)?.resolve(`made for ${caller}`),
  }
}

test('who joined is not told what only the first caller is refused: he does the work as himself', async () => {
  const { jobs, started, join, refuse, finish } = gatedJobs()
  await using _ = jobs
  const first = join('mallory')
  const second = join('alice')
  finish('alice')
  refuse('mallory')
  await expect(first).rejects.toThrow('not mallory')
  expect(await second).toBe('made for alice')
  expect(started).toEqual(['mallory', 'alice'])
})

test('callers with the same credentials are refused together, by one request', async () => {
  const { jobs, started, join, refuse } = gatedJobs()
  await using _ = jobs
  const callers = [join('mallory'), join('mallory'), join('mallory')]
  refuse('mallory')
  for (const caller of callers) await expect(caller).rejects.toThrow('not mallory')
  expect(started).toEqual(['mallory'])
})

test('a failure of the work itself reaches whoever joined', async () => {
  const { jobs, started, join, fail } = gatedJobs()
  await using _ = jobs
  const callers = [join('mallory'), join('alice')]
  fail('mallory')
  for (const caller of callers) await expect(caller).rejects.toThrow('broken for mallory')
  expect(started).toEqual(['mallory'])
})

test('a running job can be waited for by whoever did not bring one', async () => {
  const { jobs, join, finish } = gatedJobs()
  await using _ = jobs
  expect(jobs.joinRunning('k', never)).toBeUndefined()
  const first = join('alice')
  const second = jobs.joinRunning('k', never)
  finish('alice')
  expect([await first, await second]).toEqual(['made for alice', 'made for alice'])
})

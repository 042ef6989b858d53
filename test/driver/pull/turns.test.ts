import { describe, expect, test } from 'vitest'
import { createTurns, type TurnRequest } from '../../../driver/pull/turns.ts'

const NEVER = { windowMs: 60_000, minBytesPerSecond: 1024 }
/** As soon as anybody waits. */
const AT_ONCE = { windowMs: 5, minBytesPerSecond: 1024 }

/** Work that says when it runs and goes on until it is told or its signal fires. */
function openBench(options: Parameters<typeof createTurns>[0]) {
  const turns = createTurns(options)
  const log: string[] = []
  return {
    log,
    take(
      name: string,
      {
        signal = new AbortController().signal,
        progress,
      }: Partial<Pick<TurnRequest<void>, 'signal' | 'progress'>> = {},
    ) {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const done = turns.take({
        sharer: name.slice(0, 1),
        signal,
        ...(progress && { progress }),
        tooSlow: () => new Error(`${name} was too slow`),
        async work(own) {
          log.push(name)
          own.addEventListener('abort', () => reject(own.reason))
          await promise
        },
      })
      done.catch(() => undefined)
      return { done, end: resolve }
    },
  }
}

describe('turns', () => {
  test('are so many in all, and fewer for one sharer', async () => {
    const bench = openBench({ total: 3, perSharer: 2, patience: NEVER })
    const first = bench.take('a1')
    for (const name of ['a2', 'a3', 'b1', 'b2']) bench.take(name)
    await expect.poll(() => bench.log).toEqual(['a1', 'a2', 'b1'])
    first.end()
    await first.done
    await expect.poll(() => bench.log).toEqual(['a1', 'a2', 'b1', 'a3'])
  })

  test('go to who has the fewest, and among equals to who came first', async () => {
    const bench = openBench({ total: 3, perSharer: 3, patience: NEVER })
    const first = bench.take('a1')
    const second = bench.take('a2')
    for (const name of ['a3', 'a4', 'c1', 'b1']) bench.take(name)
    first.end()
    second.end()
    await expect.poll(() => bench.log).toEqual(['a1', 'a2', 'a3', 'c1', 'b1'])
  })

  test('are given back by work that throws, and by who does not wait any more', async () => {
    const bench = openBench({ total: 1, perSharer: 1, patience: NEVER })
    const failing = new AbortController()
    const leaving = new AbortController()
    const first = bench.take('a1', { signal: failing.signal })
    const second = bench.take('b1', { signal: leaving.signal })
    bench.take('c1')
    leaving.abort(new Error('gone'))
    await expect(second.done).rejects.toThrow('gone')
    failing.abort(new Error('broken'))
    await expect(first.done).rejects.toThrow('broken')
    await expect.poll(() => bench.log).toEqual(['a1', 'c1'])
  })

  test('are not lost with who left in the moment in which his came', async () => {
    const bench = openBench({ total: 1, perSharer: 1, patience: NEVER })
    const leaving = new AbortController()
    const first = bench.take('a1')
    const second = bench.take('b1', { signal: leaving.signal })
    const third = bench.take('c1')
    first.end()
    await first.done
    leaving.abort(new Error('gone'))
    await expect(second.done).rejects.toThrow('gone')
    third.end()
    await third.done
  })

  test('attack: one that never gets on is taken away when another waits for it', async () => {
    const bench = openBench({ total: 2, perSharer: 2, patience: AT_ONCE })
    let bytes = 0
    const stuck = bench.take('a1', { progress: () => 7 })
    bench.take('b1', {
      progress() {
        bytes += 1024 * 1024
        return bytes
      },
    })
    bench.take('c1')
    await expect(stuck.done).rejects.toThrow('a1 was too slow')
    await expect.poll(() => bench.log).toEqual(['a1', 'b1', 'c1'])
  })

  test('are left to whom nobody waits for, be he at his share or the rest be full', async () => {
    const bench = openBench({ total: 3, perSharer: 1, patience: AT_ONCE })
    const slow = bench.take('a1')
    const stuck = bench.take('b1')
    bench.take('b2')
    await expect(stuck.done).rejects.toThrow('b1 was too slow')
    slow.end()
    await slow.done
  })

  test('are left to who is done with what the sharer can delay', async () => {
    const bench = openBench({ total: 2, perSharer: 2, patience: AT_ONCE })
    const done = bench.take('a1', { progress: () => 'done' })
    const stuck = bench.take('b1')
    bench.take('c1')
    await expect(stuck.done).rejects.toThrow('b1 was too slow')
    done.end()
    await done.done
  })
})

import { expect, test } from 'vitest'
import { createPace } from '../../../../driver/pull/download/pace.ts'

const MB = 1_000_000
const TICK_MS = 40

/** Downloads in a world without randomness, and gives how many connections were wanted over time. */
function simulate(options: {
  readonly rate: (connections: number, nowMs: number) => number
  readonly bytes: number
  readonly busy?: (connections: number) => number
  readonly max?: number
}) {
  const pace = createPace(options.max ?? 8)
  const wanted: number[] = [1]
  let connections = 1
  let done = 0
  let nowMs = 1_000
  while (done < options.bytes) {
    done += (options.rate(connections, nowMs) * TICK_MS) / 1_000
    nowMs += TICK_MS
    pace.take({
      ...{ nowMs, bytes: done, remaining: options.bytes - done, connections, flowing: true },
      busy: options.busy?.(connections) ?? 0.2,
    })
    connections = pace.wanted
    if (connections !== wanted.at(-1)) wanted.push(connections)
  }
  return { wanted, ms: nowMs - 1_000 }
}

test('connections are doubled while each brings as much as the first', () => {
  const { wanted, ms } = simulate({ rate: (connections) => connections * 50 * MB, bytes: 512 * MB })
  expect(wanted).toEqual([1, 2, 4, 8])
  expect(ms).toBeLessThan(2_000)
})

test('no more than allowed', () => {
  const rate = (connections: number) => connections * 50 * MB
  expect(simulate({ rate, bytes: 512 * MB, max: 5 }).wanted).toEqual([1, 2, 4, 5])
  expect(simulate({ rate, bytes: 512 * MB, max: 1 }).wanted).toEqual([1])
})

test('a link that is full is tried with two, and again later, more and more rarely', () => {
  const { wanted, ms } = simulate({ rate: () => 100 * MB, bytes: 10_000 * MB })
  expect(ms).toBeGreaterThan(90_000)
  expect(wanted.filter((count) => count === 2).length).toBeLessThanOrEqual(6)
  expect(Math.max(...wanted)).toBe(2)
  expect(wanted.at(-1)).toBe(1)
})

test('a link that four fill gets four', () => {
  const rate = (connections: number) => Math.min(connections * 30, 120) * MB
  expect(simulate({ rate, bytes: 400 * MB }).wanted).toEqual([1, 2, 4, 8, 4])
})

test('connections that start slowly get their chance', () => {
  let since = 0
  let last = 1
  const rate = (connections: number, nowMs: number) => {
    if (connections !== last) since = nowMs
    last = connections
    // For a quarter of a second the new ones bring nothing.
    return (nowMs - since < 250 && connections > 1 ? connections / 2 : connections) * 20 * MB
  }
  expect(simulate({ rate, bytes: 512 * MB }).wanted).toEqual([1, 2, 4, 8])
})

test('a blob that is nearly here is left alone', () => {
  expect(simulate({ rate: () => 50 * MB, bytes: 20 * MB }).wanted).toEqual([1])
})

test('a thread that has no time to read is left alone', () => {
  const { wanted } = simulate({ rate: (n) => n * 500 * MB, bytes: 5_000 * MB, busy: () => 0.95 })
  expect(wanted).toEqual([1])
})

test('what is refused is tried again later, not at once', () => {
  const pace = createPace(8)
  let nowMs = 0
  const tick = (forMs: number) => {
    for (const end = nowMs + forMs; nowMs < end; nowMs += TICK_MS) {
      const bytes = nowMs * 50_000 * pace.wanted
      pace.take({ nowMs, bytes, remaining: 1e12, connections: pace.wanted, flowing: true, busy: 0 })
    }
  }
  tick(1_000)
  expect(pace.wanted).toBe(8)
  pace.fallBack(3)
  tick(2_500)
  expect(pace.wanted).toBe(3)
  tick(1_000)
  expect(pace.wanted).toBe(8)
  pace.stayAlone()
  tick(100_000)
  expect(pace.wanted).toBe(1)
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createByteRanges } from '../../../../driver/pull/download/byte-ranges.ts'
import {
  claimPart,
  MAX_PART_BYTES,
  MIN_PART_BYTES,
} from '../../../../driver/pull/download/parts.ts'

const MEBIBYTE = 1024 * 1024

describe('what is fetched next', () => {
  test('by a single connection: everything up to what is here', () => {
    const complete = createByteRanges([{ start: 900, end: 950 }])
    const claim = () => claimPart({ size: 1_000, complete, running: [], wanted: 1 })
    expect(claim()).toEqual({ start: 0, end: 900 })
    complete.add(0, 900)
    expect(claim()).toEqual({ start: 950, end: 1_000 })
    complete.add(950, 1_000)
    expect(claim()).toBeUndefined()
  })

  test('when a second comes: the first stops early, and the second goes on from there', () => {
    const first = { at: 10 * MEBIBYTE, end: 512 * MEBIBYTE }
    const complete = createByteRanges([{ start: 0, end: first.at }])
    expect(claimPart({ size: 512 * MEBIBYTE, complete, running: [first], wanted: 2 })).toEqual({
      start: 42 * MEBIBYTE,
      end: 74 * MEBIBYTE,
    })
    expect(first.end).toBe(42 * MEBIBYTE)
  })

  test('at the end: half of what the slowest has before it, if that is worth it', () => {
    const slow = { at: 0, end: 10 * MEBIBYTE }
    const fast = { at: 30 * MEBIBYTE, end: 31 * MEBIBYTE }
    const complete = createByteRanges([{ start: 10 * MEBIBYTE, end: 30 * MEBIBYTE }])
    const claim = () =>
      claimPart({ size: 31 * MEBIBYTE, complete, running: [slow, fast], wanted: 3 })
    expect(claim()).toEqual({ start: 5 * MEBIBYTE, end: 7 * MEBIBYTE })
    expect(slow.end).toBe(5 * MEBIBYTE)
    slow.end = 2 * MIN_PART_BYTES - 1
    complete.add(slow.end, 31 * MEBIBYTE)
    expect(claim()).toBeUndefined()
  })
})

test('however many connections come, go and break: no byte is asked for twice, and none forgotten', () => {
  const event = fc.record({
    wanted: fc.integer({ min: 1, max: 8 }),
    lane: fc.nat(7),
    bytes: fc.nat(20 * MEBIBYTE),
    breaks: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 * MEBIBYTE }), fc.array(event), (size, events) => {
      const complete = createByteRanges()
      let lanes: { at: number; end: number }[] = []
      const fill = (wanted: number) => {
        while (lanes.length < wanted) {
          const part = claimPart({ size, complete, running: lanes, wanted })
          if (part === undefined) break
          expect(part.start).toBeLessThan(part.end)
          expect(complete.missing(part.start, part.end)).toEqual([part])
          expect(wanted === 1 || part.end - part.start <= MAX_PART_BYTES).toBe(true)
          lanes.push({ at: part.start, end: part.end })
          const sorted = lanes.toSorted((a, b) => a.at - b.at)
          expect(sorted.every(({ end }, i) => end <= (sorted[i + 1]?.at ?? size))).toBe(true)
        }
      }
      const advance = (lane: { at: number; end: number }, bytes: number) => {
        const to = Math.min(lane.end, lane.at + bytes)
        complete.add(lane.at, to)
        lane.at = to
      }
      for (const { wanted, lane: index, bytes, breaks } of events) {
        fill(wanted)
        const lane = lanes[index % Math.max(1, lanes.length)]
        if (lane === undefined) continue
        advance(lane, bytes)
        if (breaks || lane.at === lane.end) lanes = lanes.filter((other) => other !== lane)
      }
      for (let round = 0; complete.total < size; round++) {
        expect(round).toBeLessThan(10_000)
        fill(4)
        const [lane] = lanes
        if (lane === undefined) break
        advance(lane, size)
        lanes = lanes.slice(1)
      }
      expect(complete.ranges).toEqual([{ start: 0, end: size }])
    }),
    { numRuns: 300 },
  )
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createByteRanges } from '../../../../driver/pull/download/byte-ranges.ts'

const SIZE = 40
const range = fc
  .tuple(fc.nat(SIZE), fc.nat(SIZE))
  .map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) }))

test('is the set of bytes that were added', () => {
  fc.assert(
    fc.property(fc.array(range), range, (added, window) => {
      const set = createByteRanges()
      const bytes = new Set<number>()
      for (const { start, end } of added) {
        set.add(start, end)
        for (let byte = start; byte < end; byte++) bytes.add(byte)
      }
      const inRanges = (ranges: readonly { start: number; end: number }[]) =>
        ranges.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, i) => start + i))
      expect(inRanges(set.ranges)).toEqual([...bytes].sort((a, b) => a - b))
      expect(set.total).toBe(bytes.size)
      expect(set.ranges.every(({ end }, i) => end < (set.ranges[i + 1]?.start ?? SIZE + 1))).toBe(
        true,
      )
      const expectedMissing = Array.from({ length: SIZE }, (_, byte) => byte).filter(
        (byte) => byte >= window.start && byte < window.end && !bytes.has(byte),
      )
      const missing = set.missing(window.start, window.end)
      expect(inRanges(missing)).toEqual(expectedMissing)
      expect(missing.every(({ start, end }) => start < end)).toBe(true)
      let prefix = 0
      while (bytes.has(prefix)) prefix += 1
      expect(set.prefix).toBe(prefix)
    }),
  )
})

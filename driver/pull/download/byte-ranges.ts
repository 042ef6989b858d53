/** Bytes of a file from `start` to `end`, exclusive. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** A set of bytes of a file. */
export interface ByteRanges {
  /** Sorted, apart from each other, none empty. */
  readonly ranges: readonly ByteRange[]
  /** How many bytes there are. */
  readonly total: number
  /** Where the first gap begins: so many bytes are there from the start on. */
  readonly prefix: number
  /** Takes bytes in, those that are there already too. */
  add(start: number, end: number): void
  /** What is not there between two offsets, in order. */
  missing(start: number, end: number): ByteRange[]
}

export function createByteRanges(initial: readonly ByteRange[] = []): ByteRanges {
  let ranges: ByteRange[] = []
  let total = 0
  const set: ByteRanges = {
    get ranges() {
      return ranges
    },
    get total() {
      return total
    },
    get prefix() {
      const [first] = ranges
      return first?.start === 0 ? first.end : 0
    },
    add(start, end) {
      if (start >= end) return
      let merged = { start, end }
      const apart: ByteRange[] = []
      for (const range of ranges) {
        if (range.end < start || range.start > end) apart.push(range)
        else {
          total -= range.end - range.start
          merged = {
            start: Math.min(merged.start, range.start),
            end: Math.max(merged.end, range.end),
          }
        }
      }
      total += merged.end - merged.start
      ranges = [...apart, merged].sort((a, b) => a.start - b.start)
    },
    missing(start, end) {
      const gaps: ByteRange[] = []
      let at = start
      for (const range of ranges) {
        if (range.end <= at) continue
        if (range.start >= end) break
        if (range.start > at) gaps.push({ start: at, end: range.start })
        at = range.end
      }
      if (at < end) gaps.push({ start: at, end })
      return gaps
    },
  }
  for (const { start, end } of initial) set.add(start, end)
  return set
}

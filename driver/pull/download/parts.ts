import { type ByteRange, type ByteRanges, createByteRanges } from './byte-ranges.ts'

/** A part that is on its way: the next byte, and the one to stop before; that can come nearer. */
export interface RunningPart {
  readonly at: number
  end: number
}

/** Smaller parts cost more in requests than they gain. */
export const MIN_PART_BYTES = 2 * 1024 * 1024
/** Larger ones leave the beginning behind, whose bytes are hashed and unpacked while the rest comes. */
export const MAX_PART_BYTES = 32 * 1024 * 1024

/**
 * Says what to fetch next: the first gap, so that the beginning grows; where there is none, the end of what another connection has before it,
 * which then stops earlier.
 *
 * A single connection is given all there is; several get ever smaller parts, so that all of them are busy to the end (guided
 * self-scheduling).
 *
 * @param wanted connections there should be, the one that asks included
 * @returns undefined when there is nothing left that is worth a request
 */
export function claimPart(options: {
  readonly size: number
  readonly complete: Pick<ByteRanges, 'ranges' | 'total'>
  readonly running: Iterable<RunningPart>
  readonly wanted: number
}): ByteRange | undefined {
  const { size, complete, wanted } = options
  const running = [...options.running]
  const taken = createByteRanges(complete.ranges)
  for (const { at, end } of running) taken.add(at, end)
  const gap = taken.missing(0, size)[0] ?? takeOver(running, wanted)
  if (gap === undefined) return undefined
  const most = partBytes(size - complete.total, wanted)
  return { start: gap.start, end: Math.min(gap.end, gap.start + most) }
}

function takeOver(running: readonly RunningPart[], wanted: number): ByteRange | undefined {
  const [busiest] = running.toSorted((a, b) => b.end - b.at - (a.end - a.at))
  if (busiest === undefined) return undefined
  const { at, end } = busiest
  const half = Math.floor((end - at) / 2)
  if (half < MIN_PART_BYTES) return undefined
  // The first connection was asked for everything: it keeps what it would have been given with the others beside it.
  const kept = running.length === 1 ? Math.min(half, partBytes(end - at, wanted)) : half
  busiest.end = at + kept
  return { start: busiest.end, end }
}

function partBytes(remaining: number, connections: number): number {
  if (connections === 1) return remaining
  const share = Math.ceil(remaining / (2 * connections))
  return Math.min(MAX_PART_BYTES, Math.max(MIN_PART_BYTES, share))
}

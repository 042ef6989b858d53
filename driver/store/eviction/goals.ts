import type { FreeSpace } from '../../linux/free-space.ts'
import type { Size } from '../trash.ts'

/** When to evict, and how far. */
export interface Marks {
  /** Of the file system's bytes and inodes: used beyond this share, eviction begins, and goes on until less than `low` is used. */
  readonly high: number
  readonly low: number
  /** What the store may take; absent: what the marks leave it. */
  readonly maxBytes?: number
  /** Below this the store is not evicted for the marks: when others fill the disk, evicting all of it again and again helps nobody. */
  readonly keepBytes: number
  /** What was used more recently stays. */
  readonly minAgeMs: number
}

/** Room that somebody waits for. */
export interface WantedRoom {
  /** What must be free on the file system, for the content and beside it. */
  readonly free: Size
  /** What the content will add to the store. */
  readonly added: number
}

/** What an eviction is for: a mark of the file system, the store's own limit, or room for a pull. */
export const GOALS = ['bytes', 'inodes', 'max-store-bytes', 'room'] as const

export type Goal = (typeof GOALS)[number]

/** What is still to be freed while something is planned. */
export interface Goals {
  /** Whether nothing more need go, or may go. */
  areMet(): boolean
  /** The goal that evicting so much brings nearer; undefined when it brings none. */
  servedBy(size: Size): Goal | undefined
  /** Counts what goes. */
  take(size: Size): void
  /** What was wanted and is not reached: of the marks, when even the high one stays exceeded. */
  unreachable(): readonly Goal[]
}

export function createGoals({
  space,
  marks,
  room,
  stored,
}: {
  readonly space: FreeSpace
  readonly marks: Marks
  readonly room?: WantedRoom
  /** What all items have together. */
  readonly stored: number
}): Goals {
  let freed: Size = { bytes: 0, inodes: 0 }
  let floorReached = false
  const used = { bytes: space.totalBytes - space.bytes, inodes: usedInodes(space) }
  const beyond = (what: 'bytes' | 'inodes', total: number, share: number) =>
    Math.max(0, used[what] - total * share)
  const isBeyond = {
    bytes: beyond('bytes', space.totalBytes, marks.high) > 0,
    inodes:
      Number.isFinite(space.totalInodes) && beyond('inodes', space.totalInodes, marks.high) > 0,
  }
  const wanted = {
    bytes: isBeyond.bytes ? beyond('bytes', space.totalBytes, marks.low) : 0,
    inodes: isBeyond.inodes ? beyond('inodes', space.totalInodes, marks.low) : 0,
    stored: Math.max(0, stored + (room?.added ?? 0) - (marks.maxBytes ?? Number.POSITIVE_INFINITY)),
    room: {
      bytes: Math.max(0, (room?.free.bytes ?? 0) - space.bytes),
      inodes: Math.max(0, (room?.free.inodes ?? 0) - space.inodes),
    },
  }
  const isOpen = {
    room: () => freed.bytes < wanted.room.bytes || freed.inodes < wanted.room.inodes,
    'max-store-bytes': () => freed.bytes < wanted.stored,
    bytes: () => freed.bytes < wanted.bytes,
    inodes: () => freed.inodes < wanted.inodes,
  } satisfies Record<Goal, () => boolean>

  return {
    areMet: () =>
      !isOpen.room() &&
      !isOpen['max-store-bytes']() &&
      (floorReached || (!isOpen.bytes() && !isOpen.inodes())),

    servedBy(size) {
      if (freed.bytes < wanted.room.bytes && size.bytes > 0) return 'room'
      if (freed.inodes < wanted.room.inodes && size.inodes > 0) return 'room'
      if (isOpen['max-store-bytes']() && size.bytes > 0) return 'max-store-bytes'
      const markOf =
        isOpen.bytes() && size.bytes > 0
          ? 'bytes'
          : isOpen.inodes() && size.inodes > 0
            ? 'inodes'
            : undefined
      if (markOf === undefined || floorReached) return undefined
      floorReached = stored - freed.bytes - size.bytes < marks.keepBytes
      return floorReached ? undefined : markOf
    },

    take(size) {
      freed = { bytes: freed.bytes + size.bytes, inodes: freed.inodes + size.inodes }
    },

    unreachable() {
      const left = {
        bytes: used.bytes - freed.bytes > space.totalBytes * marks.high,
        inodes: isBeyond.inodes && used.inodes - freed.inodes > space.totalInodes * marks.high,
        'max-store-bytes': isOpen['max-store-bytes'](),
        room: isOpen.room(),
      } satisfies Record<Goal, boolean>
      return GOALS.filter((goal) => left[goal])
    },
  }
}

function usedInodes({ totalInodes, inodes }: FreeSpace): number {
  return Number.isFinite(totalInodes) ? totalInodes - inodes : 0
}

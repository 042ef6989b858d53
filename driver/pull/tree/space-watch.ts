import { CodedError } from '../../../common/errors.ts'
import { limitHint } from '../../../common/limit-hint.ts'
import { type FreeSpace, readFreeSpace, tooFull } from '../../linux/free-space.ts'
import { formatBytes } from '../format-progress.ts'
import { TREE_LIMIT_FLAGS, type TreeLimits } from './tree-limits.ts'

/** Looks, now and then, at how much space is left while something is written. */
export interface SpaceWatch {
  /**
   * Looks now.
   *
   * @param bytes what is about to be written at least
   * @throws EXHAUSTED when less would be left than must stay free
   */
  expect(bytes: number): void
  /** Counts what is about to be written, and looks again before that may have used up what was free. @throws as `expect` */
  take(bytes: number, entries: number): void
}

/** How much is written without another look: others write, too. A look takes microseconds. */
const MAX_BYTES_UNSEEN = 16 * 1024 ** 2
const MAX_ENTRIES_UNSEEN = 1_000
/** Near the limit, not for every entry. */
const MIN_BYTES_UNSEEN = 128 * 1024
const MIN_ENTRIES_UNSEEN = 10

/** Of a small file system, only so much must stay free. */
const SMALL_SHARE = 1 / 20

/**
 * Watches the file system that holds `directory`.
 *
 * A disk that is full stops every pod of the node, and before that the kubelet evicts them: so the pull ends first. Others write there, too, so
 * what is free is looked up, never counted.
 */
export function watchSpace(
  directory: string,
  limits: Pick<TreeLimits, 'minFreeBytes' | 'minFreeInodes'>,
  read: (directory: string) => FreeSpace = readFreeSpace,
): SpaceWatch {
  /** How much may still be written before the next look. */
  let bytesLeft = 0
  let entriesLeft = 0
  const expect = (wanted: number) => {
    const { bytes, totalBytes, inodes, totalInodes } = read(directory)
    const keptBytes = Math.min(limits.minFreeBytes, Math.floor(totalBytes * SMALL_SHARE))
    if (bytes - wanted < keptBytes) {
      const need = wanted === 0 ? ', and' : `, too little for ${formatBytes(wanted)} more:`
      throw new CodedError(
        'EXHAUSTED',
        `The node's file system has ${formatBytes(bytes)} free${need} ${formatBytes(keptBytes)} must stay free${limitHint(TREE_LIMIT_FLAGS.minFreeBytes)}`,
        { cause: tooFull() },
      )
    }
    const keptInodes = Math.min(limits.minFreeInodes, Math.floor(totalInodes * SMALL_SHARE))
    if (inodes < keptInodes) {
      throw new CodedError(
        'EXHAUSTED',
        `The node's file system has ${inodes} inodes free, and ${keptInodes} must stay free${limitHint(TREE_LIMIT_FLAGS.minFreeInodes)}`,
        { cause: tooFull() },
      )
    }
    bytesLeft = clamp(bytes - keptBytes, MIN_BYTES_UNSEEN, MAX_BYTES_UNSEEN)
    entriesLeft = clamp(inodes - keptInodes, MIN_ENTRIES_UNSEEN, MAX_ENTRIES_UNSEEN)
  }
  return {
    expect,
    take(bytes, entries) {
      bytesLeft -= bytes
      entriesLeft -= entries
      if (bytesLeft < 0 || entriesLeft < 0) expect(bytes)
    },
  }
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value))
}

import { CodedError } from '../../../common/errors.ts'
import { limitHint } from '../../../common/limit-hint.ts'
import type { SpaceWatch } from './space-watch.ts'
import { TREE_LIMIT_FLAGS, type TreeLimits } from './tree-limits.ts'

/** Counts what the archives of one tree cost, and stops them at its limits. */
export interface TreeBudget {
  readonly limits: TreeLimits
  /** @throws EXHAUSTED when the tree has more entries than `limits.entries`, or the node runs out of inodes */
  takeEntry(): void
  /**
   * Starts counting an archive of `compressedBytes`.
   *
   * @throws EXHAUSTED when not even that much is free
   */
  archive(compressedBytes: number): ArchiveBudget
}

export interface ArchiveBudget {
  readonly limits: TreeLimits
  /** @throws EXHAUSTED when the tree's archives, or this one for its size, decompress to too much, or the node runs out of space */
  takeBytes(bytes: number): void
}

export function createTreeBudget(limits: TreeLimits, space: SpaceWatch): TreeBudget {
  let entries = 0
  let treeBytes = 0
  return {
    limits,
    takeEntry() {
      if (++entries > limits.entries) {
        throw exhausted(`the archives have more than ${limits.entries} entries`, 'entries')
      }
      space.take(0, 1)
    },
    archive(compressedBytes) {
      space.expect(compressedBytes)
      const byRatio = Math.max(limits.ratioFreeBytes, compressedBytes * limits.ratio)
      let archiveBytes = 0
      return {
        limits,
        takeBytes(bytes) {
          archiveBytes += bytes
          treeBytes += bytes
          if (treeBytes > limits.decompressedBytes) {
            throw exhausted(
              `The archives have more than ${limits.decompressedBytes} decompressed bytes`,
              'decompressedBytes',
            )
          }
          if (archiveBytes > byRatio) {
            throw exhausted(
              `The archive has more than ${limits.ratio} decompressed bytes for each of its ${compressedBytes} compressed ones`,
              'ratio',
            )
          }
          space.take(bytes, 0)
        },
      }
    },
  }
}

function exhausted(what: string, limit: keyof TreeLimits): CodedError {
  return new CodedError('EXHAUSTED', `${what}${limitHint(TREE_LIMIT_FLAGS[limit])}`)
}

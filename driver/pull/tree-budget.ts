import { CodedError } from '../../common/errors.ts'
import type { TreeLimits } from './tree-job.ts'

/** Counts what the archives of one tree cost, and stops them at its limits. */
export interface TreeBudget {
  readonly limits: TreeLimits
  /** @throws EXHAUSTED when the tree has more entries than `limits.entries` */
  takeEntry(): void
  /** Starts counting an archive of `compressedBytes`. */
  archive(compressedBytes: number): ArchiveBudget
}

export interface ArchiveBudget {
  /** @throws EXHAUSTED when the tree's archives, or this one for its size, decompress to too much */
  takeBytes(bytes: number): void
}

export function createTreeBudget(limits: TreeLimits): TreeBudget {
  let entries = 0
  let treeBytes = 0
  return {
    limits,
    takeEntry() {
      if (++entries > limits.entries) {
        throw exhausted(`the archives have more than ${limits.entries} entries`, 'entries')
      }
    },
    archive(compressedBytes) {
      const byRatio = Math.max(limits.ratioFreeBytes, compressedBytes * limits.ratio)
      let archiveBytes = 0
      return {
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
        },
      }
    },
  }
}

function exhausted(what: string, limit: keyof TreeLimits): CodedError {
  return new CodedError('EXHAUSTED', `${what} (limit "${limit}")`)
}

import { stat } from 'node:fs/promises'
import { CodedError, isSystemError } from '../../../common/errors.ts'
import { type FreeSpace, readFreeSpace, tooFull } from '../../linux/free-space.ts'
import { formatBytes } from '../format-progress.ts'
import type { TreeLimits } from '../tree/tree-limits.ts'
import { readBytes } from './byte-counter.ts'
import type { RunningDownload } from './running-download.ts'

/** The space of the store that downloads will take. */
export interface DownloadSpace {
  /**
   * Sees to it that a download fits beside those that are under way; the disposal says that it is over.
   *
   * @param subject begins the message, e.g. `Cannot pull "ghcr.io/acme/app:v1"`
   * @throws EXHAUSTED
   */
  reserve(download: RunningDownload, size: number, subject: string): Promise<Disposable>
}

/** The blob, its record, its directory, and what is known of its parts. */
const INODES = 4
/** Of a small file system, only so much must stay free. */
const SMALL_SHARE = 1 / 20

/** Watches over the file system that holds `directory`. */
export function createDownloadSpace(
  directory: string,
  limits: Pick<TreeLimits, 'minFreeBytes' | 'minFreeInodes'>,
  read: (directory: string) => FreeSpace = readFreeSpace,
): DownloadSpace {
  const running = new Map<RunningDownload, number>()
  const owed = () =>
    running
      .entries()
      .reduce((sum, [{ received }, size]) => sum + Math.max(0, size - readBytes(received)), 0)
  return {
    async reserve(download, size, subject) {
      const missing = Math.max(0, size - (await bytesOnDisk(download.path)))
      const { bytes, totalBytes, inodes, totalInodes } = read(directory)
      const keptBytes = Math.min(limits.minFreeBytes, Math.floor(totalBytes * SMALL_SHARE))
      const free = Math.max(0, bytes - keptBytes - owed())
      if (missing > free) {
        throw exhausted(
          `${subject}: it needs ${formatBytes(missing)}, and ${formatBytes(free)} are free`,
          directory,
        )
      }
      const keptInodes = Math.min(limits.minFreeInodes, Math.floor(totalInodes * SMALL_SHARE))
      if (inodes - keptInodes < INODES) {
        throw exhausted(`${subject}: it needs inodes, and none are free`, directory)
      }
      running.set(download, size)
      return { [Symbol.dispose]: () => running.delete(download) }
    },
  }
}

function exhausted(what: string, directory: string): CodedError {
  return new CodedError(
    'EXHAUSTED',
    `${what} for "${directory}" on this node; free some, or give the store a larger file system`,
    { cause: tooFull() },
  )
}

/** What of a download is there already: a file with gaps takes less than its size. */
export async function bytesOnDisk(path: string): Promise<number> {
  try {
    return (await stat(path)).blocks * 512
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return 0
    throw error
  }
}

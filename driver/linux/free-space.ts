import { statfsSync } from 'node:fs'
import { isSystemError } from '../../common/errors.ts'

/** What a file system has left. */
export interface FreeSpace {
  /** Without what only root may take. */
  readonly bytes: number
  readonly totalBytes: number
  /** Infinity where inodes are made as they are needed, e.g. on Btrfs. */
  readonly inodes: number
  readonly totalInodes: number
}

/** Answers whether an error, or what caused it, is that the file system or a quota is full. */
export function isOutOfSpace(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (isSystemError(cause, 'ENOSPC', 'EDQUOT')) return true
  }
  return false
}

/**
 * Makes the cause of an error that is raised because a file system would be too full, as the system does when it is: both are remedied
 * the same way.
 */
export function tooFull(): NodeJS.ErrnoException {
  return Object.assign(new Error('Less than must stay free would be left'), { code: 'ENOSPC' })
}

/**
 * Looks at the file system that holds a directory; microseconds on a local one. What is written and not yet on disk counts as taken.
 *
 * @throws a system error
 */
export function readFreeSpace(directory: string): FreeSpace {
  const { bavail, blocks, bsize, ffree, files } = statfsSync(directory)
  return {
    bytes: bavail * bsize,
    totalBytes: blocks * bsize,
    inodes: files === 0 ? Number.POSITIVE_INFINITY : ffree,
    totalInodes: files === 0 ? Number.POSITIVE_INFINITY : files,
  }
}

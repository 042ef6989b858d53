import type { FreeSpace } from '../../linux/free-space.ts'
import type { Size } from '../trash.ts'

/** What must stay free of the file system, whoever asks for room; of a small one, a twentieth. */
export interface Reserve {
  readonly minFreeBytes: number
  readonly minFreeInodes: number
}

/** Of a small file system, only so much is kept of anything that is set in bytes. */
export const SMALL_SHARE = 1 / 20

/** What stays free of this file system. */
export function keptFree(space: FreeSpace, reserve: Reserve): Size {
  return {
    bytes: Math.min(reserve.minFreeBytes, Math.floor(space.totalBytes * SMALL_SHARE)),
    inodes: Number.isFinite(space.totalInodes)
      ? Math.min(reserve.minFreeInodes, Math.floor(space.totalInodes * SMALL_SHARE))
      : 0,
  }
}

/** Answers whether so much may be written. */
export function hasRoom(space: FreeSpace, size: Size, reserve: Reserve): boolean {
  const kept = keptFree(space, reserve)
  return space.bytes - kept.bytes >= size.bytes && space.inodes - kept.inodes >= size.inodes
}

export function addSizes(a: Size, b: Size): Size {
  return { bytes: a.bytes + b.bytes, inodes: a.inodes + b.inodes }
}

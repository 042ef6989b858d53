import { constants, fchmodSync, fstatSync, readSync, writeSync } from 'node:fs'
import { isSystemError } from '../../../common/errors.ts'
import {
  close,
  createFileAt,
  linkAt,
  linkFileAt,
  openAt,
  openFile,
  setTimes,
} from '../../linux/directory.ts'
import { systemCall } from '../../linux/libc.ts'
import { systemCallNumbers } from '../../linux/system-calls.ts'

/** No more names for the inode (65 000 on ext4), another file system, or one without hard links. */
const CANNOT_LINK = ['EMLINK', 'EXDEV', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP']
const COPY_BYTES = 1024 * 1024
/** FICLONE of <linux/fs.h>: shares the blocks on XFS and Btrfs. */
const FICLONE = 0x40049409

const ioctl = systemCall('ioctl', systemCallNumbers().ioctl, ['int', 'ulong', 'int'])

/**
 * Gives a blob of the store a name in a tree, or copies it where it cannot be linked. Mode and time are the blob's.
 *
 * @returns the blob's size in bytes
 * @throws a system error: EEXIST when the name is taken
 */
export function placeBlob(blobPath: string, directory: number, name: string): number {
  const blob = openFile(blobPath)
  try {
    try {
      linkFileAt(blobPath, directory, name)
    } catch (error) {
      if (!isSystemError(error, ...CANNOT_LINK)) throw error
      copyInto(blob, directory, name)
    }
    return fstatSync(blob).size
  } finally {
    close(blob)
  }
}

/** Gives a regular file of a tree a second name, or copies it where it cannot be linked. */
export function placeLink(
  fromDirectory: number,
  from: string,
  toDirectory: number,
  to: string,
): void {
  try {
    linkAt(fromDirectory, from, toDirectory, to)
  } catch (error) {
    if (!isSystemError(error, ...CANNOT_LINK)) throw error
    placeCopy(fromDirectory, from, toDirectory, to)
  }
}

/** Copies a regular file of a tree to another name, with its mode and time. */
export function placeCopy(
  fromDirectory: number,
  from: string,
  toDirectory: number,
  to: string,
): void {
  const source = openAt(fromDirectory, from, constants.O_RDONLY | constants.O_NOFOLLOW, 'beneath')
  try {
    copyInto(source, toDirectory, to)
  } finally {
    close(source)
  }
}

function copyInto(source: number, directory: number, name: string): void {
  const { mode, mtimeNs } = fstatSync(source, { bigint: true })
  const fd = createFileAt(directory, name, 0o600)
  try {
    if (!cloned(source, fd)) copyBytes(source, fd)
    fchmodSync(fd, Number(mode) & 0o777)
    setTimes(fd, {
      seconds: Number(mtimeNs / 1_000_000_000n),
      nanoseconds: Number(mtimeNs % 1_000_000_000n),
    })
  } finally {
    close(fd)
  }
}

function cloned(source: number, target: number): boolean {
  try {
    ioctl(target, FICLONE, source)
    return true
  } catch (error) {
    // Not this file system, or not between these two.
    if (isSystemError(error, 'EOPNOTSUPP', 'ENOTSUP', 'EXDEV', 'EINVAL', 'ENOTTY', 'ENOSYS')) {
      return false
    }
    throw error
  }
}

function copyBytes(source: number, target: number): void {
  const buffer = Buffer.allocUnsafe(COPY_BYTES)
  for (let position = 0; ; ) {
    const read = readSync(source, buffer, 0, buffer.length, position)
    if (read === 0) return
    writeFully(target, buffer.subarray(0, read))
    position += read
  }
}

/** Writes all of `bytes`: write(2) may take less, e.g. just before the disk is full. */
export function writeFully(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at)
}

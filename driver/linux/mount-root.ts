import { isSystemError } from '../../common/errors.ts'
import { systemCall } from './libc.ts'
import { systemCallNumbers } from './system-calls.ts'

const numbers = systemCallNumbers()

// include/uapi/linux/stat.h and fcntl.h
const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const AT_NO_AUTOMOUNT = 0x800
/** What is in memory will do: no server is asked. */
const AT_STATX_DONT_SYNC = 0x4000
const STATX_INO = 0x100
const STATX_ATTR_MOUNT_ROOT = 0x2000n
/** struct statx; where the fields used here stand, the same on every architecture. */
const STATX = { bytes: 256, attributes: 8, inode: 32, attributesMask: 56, device: 136 } as const
/** struct statfs of 64-bit architectures: eleven longs and four spare; `f_flags` is the eleventh. */
const STATFS = { bytes: 120, flags: 80 } as const
const STATFS_FLAGS = [
  [1n, 'ro'],
  [2n, 'nosuid'],
  [4n, 'nodev'],
] as const

const statxCall = systemCall('statx', numbers.statx, [
  'int',
  'const char *',
  'int',
  'uint',
  'void *',
])
const statfsCall = systemCall('statfs', numbers.statfs, ['const char *', 'void *'])

/** What stands at a path, asked of the path itself: what it costs does not grow with the mounts of the node. */
export interface Standing {
  /** Whether the path is the root of a mount; undefined where the kernel does not say (Linux 5.7 and earlier). */
  readonly isMountRoot: boolean | undefined
  /** Names the directory, whichever mount shows it. */
  readonly identity: string
}

/**
 * Looks at a path without following a symbolic link there.
 *
 * @returns undefined when nothing is there
 * @throws a system error
 */
export function lookAt(path: string): Standing | undefined {
  const bytes = Buffer.alloc(STATX.bytes)
  try {
    const flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC
    statxCall(AT_FDCWD, path, flags, STATX_INO, bytes)
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
  const knows = (bytes.readBigUInt64LE(STATX.attributesMask) & STATX_ATTR_MOUNT_ROOT) !== 0n
  const isRoot = (bytes.readBigUInt64LE(STATX.attributes) & STATX_ATTR_MOUNT_ROOT) !== 0n
  const device = bytes.readBigUInt64LE(STATX.device)
  return {
    isMountRoot: knows ? isRoot : undefined,
    identity: `${device} ${bytes.readBigUInt64LE(STATX.inode)}`,
  }
}

/**
 * Reads the protections of the mount that a path lies on, of `ro`, `nosuid` and `nodev` those that hold.
 *
 * @throws a system error
 */
export function mountFlags(path: string): readonly string[] {
  const bytes = Buffer.alloc(STATFS.bytes)
  statfsCall(path, bytes)
  const flags = bytes.readBigUInt64LE(STATFS.flags)
  return STATFS_FLAGS.flatMap(([bit, name]) => ((flags & bit) === 0n ? [] : [name]))
}

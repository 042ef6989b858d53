import { type BigIntStats, closeSync, constants, fstatSync, openSync } from 'node:fs'
import { CodedError, isSystemError } from '../../common/errors.ts'
import {
  futimens,
  getdents64,
  linkat,
  lseek,
  mkdirat,
  openat2,
  readlinkat,
  renameat2,
  statx,
  symlinkat,
  unlinkat,
} from './directory-calls.ts'

/**
 * How far a path may lead.
 *
 * - `beneath` no symbolic link anywhere, nothing above the directory, no other file system
 * - `beneath-links` symbolic links are followed, as long as they stay beneath the directory; no other file system
 * - `beneath-mounts` the same, and what is mounted beneath the directory is part of it
 * - `in-root` symbolic links are followed as if the directory were `/`; no other file system
 */
export type Resolution = 'beneath' | 'beneath-links' | 'beneath-mounts' | 'in-root'

/** The name of one directory entry; bytes (without a NUL) where it may not be UTF-8. */
export type EntryName = string | Uint8Array

/** A point in time, to the nanosecond. */
export interface FileTime {
  /** Since 1970; may be negative. */
  readonly seconds: number
  /** 0 to 999 999 999. */
  readonly nanoseconds: number
}

/** One entry of a directory as listed. */
export interface DirectoryEntry {
  readonly name: Uint8Array
  /** `unknown` on file systems that do not say. */
  readonly type: 'file' | 'directory' | 'symlink' | 'other' | 'unknown'
}

// Linux's values, the same on x86_64 and arm64; the others differ and come from fs.constants.
const O_CLOEXEC = 0o2000000
const O_PATH = 0o10000000

// From <linux/openat2.h>.
const RESOLVE_NO_XDEV = 0x01n
const RESOLVE_NO_MAGICLINKS = 0x02n
const RESOLVE_NO_SYMLINKS = 0x04n
const RESOLVE_BENEATH = 0x08n
const RESOLVE_IN_ROOT = 0x10n

const RESOLVE = {
  beneath: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
  'beneath-links': RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
  'beneath-mounts': RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
  'in-root': RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
} as const satisfies Record<Resolution, bigint>

// The kernel gives up on `..` and links with EAGAIN when anything was renamed or mounted meanwhile, anywhere on the machine.
const MAX_TRIES = 1000

// Structures that calls read and do not keep: made once, since this is done for every file of a tree.
const how = new BigUint64Array(3)
const times = new BigInt64Array(4)
const timesBytes = new Uint8Array(times.buffer)

// struct statx of <linux/stat.h>, the same on every architecture: 256 bytes, the size at byte 40.
const statxFields = new BigUint64Array(32)
const statxBytes = new Uint8Array(statxFields.buffer)
const statxWords = new Uint32Array(statxFields.buffer)
const STX_SIZE = 5
const STATX_SIZE = 0x200
const STX_INO = 4
const STX_BLOCKS = 6
// stx_nlink, as 32-bit number.
const STX_NLINK = 4
const STATX_USAGE = 0x4 | 0x100 | 0x400
const BLOCK_BYTES = 512
const AT_SYMLINK_NOFOLLOW = 0x100

const AT_REMOVEDIR = 0x200
const RENAME_NOREPLACE = 1
const SIZEOF_HOW = 24
const LINK_MAX = 4096
const SEEK_SET = 0

/**
 * Opens a directory of our own by its path; the caller closes the descriptor.
 *
 * @throws a system error, e.g. ENOTDIR when it is a symbolic link
 */
export function openDirectory(path: string): number {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants
  return tracked(openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW))
}

/** Opens a file of our own by its path, for reading; the caller closes the descriptor. */
export function openFile(path: string): number {
  return tracked(openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW))
}

/** Closes a descriptor that a function of this file opened. */
export function close(fd: number): void {
  // Before it is closed: the number may be another's the moment after.
  if (open !== undefined && fd < open.length) Atomics.store(open, fd, 0)
  closeSync(fd)
}

/**
 * Has this thread keep a note of the descriptors it holds: `open[fd]` is 1 for those of this file's functions.
 *
 * For a worker thread: when one ends in the middle of its work, its descriptors stay open, and nobody but the thread that started it can close
 * them ({@link closeLeft}). Node does that only for descriptors it opened itself.
 */
export function trackDescriptors(shared: Uint8Array): void {
  open = shared
}

/** Closes what a thread that has ended left open, by its note. */
export function closeLeft(shared: Uint8Array): void {
  for (let fd = shared.indexOf(1); fd >= 0; fd = shared.indexOf(1, fd + 1)) {
    shared[fd] = 0
    closeSync(fd)
  }
}

let open: Uint8Array | undefined

function tracked(fd: number): number {
  if (open !== undefined && fd < open.length) Atomics.store(open, fd, 1)
  return fd
}

/**
 * Opens a path below a directory; the caller closes the descriptor.
 *
 * `O_CLOEXEC` is always set. `mode` is for `O_CREAT`, and the process's umask applies.
 *
 * @throws a system error: ELOOP or EXDEV when the path leads further than `resolution` lets it
 */
export function openAt(
  directory: number,
  path: EntryName,
  flags: number,
  resolution: Resolution,
  mode = 0,
): number {
  return openWith(directory, path, flags, RESOLVE[resolution], mode)
}

/** Opens the directory that holds a directory, wherever that is: for walks that know where to stop. The caller closes it. */
export function openParent(directory: number): number {
  const resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
  return openWith(directory, '..', constants.O_RDONLY | constants.O_DIRECTORY, resolve, 0)
}

function openWith(
  directory: number,
  path: EntryName,
  flags: number,
  resolve: bigint,
  mode: number,
): number {
  how[0] = BigInt(flags | O_CLOEXEC)
  how[1] = BigInt(mode)
  how[2] = resolve
  for (let tries = 1; ; tries++) {
    try {
      return tracked(openat2(directory, terminated(path), how, SIZEOF_HOW))
    } catch (error) {
      if (tries >= MAX_TRIES || !isSystemError(error, 'EAGAIN', 'EINTR')) throw error
    }
  }
}

/** Opens a directory below a directory, for reading and as the base of other calls. A link is an error, unless `in-root`. */
export function openDirectoryAt(
  directory: number,
  path: EntryName,
  resolution: Resolution = 'beneath',
): number {
  return openAt(directory, path, constants.O_RDONLY | constants.O_DIRECTORY, resolution)
}

/** Creates an empty file of this name, for writing; the caller closes it. Never opens what is there: EEXIST. */
export function createFileAt(directory: number, name: EntryName, mode: number): number {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  return openAt(
    directory,
    singleName(name),
    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
    'beneath',
    mode,
  )
}

/** Looks at an entry without following it; undefined when there is none of this name. */
export function statAt(directory: number, name: EntryName): BigIntStats | undefined {
  let fd: number
  try {
    fd = openAt(directory, singleName(name), O_PATH | constants.O_NOFOLLOW, 'in-root')
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  }
  try {
    return fstatSync(fd, { bigint: true })
  } finally {
    close(fd)
  }
}

/** The size of an entry in bytes, without following it: one call where {@link statAt} makes three. ENOENT when there is none. */
export function sizeAt(directory: number, name: EntryName): number {
  const path = terminated(singleName(name))
  statx(directory, path, AT_SYMLINK_NOFOLLOW, STATX_SIZE, statxBytes)
  return Number(statxFields[STX_SIZE])
}

/** What an entry takes on the disk. */
export interface DiskUse {
  readonly bytes: number
  /** How many names it has; of a directory, one more than it has directories in it. */
  readonly links: number
  readonly inode: bigint
}

/** What an entry takes on the disk, without following it and without what is in it. ENOENT when there is none. */
export function diskUseAt(directory: number, name: EntryName): DiskUse {
  statx(directory, terminated(singleName(name)), AT_SYMLINK_NOFOLLOW, STATX_USAGE, statxBytes)
  return {
    bytes: Number(statxFields[STX_BLOCKS]) * BLOCK_BYTES,
    links: Number(statxWords[STX_NLINK]),
    inode: statxFields[STX_INO] ?? 0n,
  }
}

/** Creates a directory of this name; the process's umask applies. */
export function makeDirectoryAt(directory: number, name: EntryName, mode: number): void {
  mkdirat(directory, terminated(singleName(name)), mode)
}

/** Removes an entry that is no directory. A link goes, not what it points to. */
export function unlinkAt(directory: number, name: EntryName): void {
  unlinkat(directory, terminated(singleName(name)), 0)
}

/** Removes an empty directory. */
export function removeDirectoryAt(directory: number, name: EntryName): void {
  unlinkat(directory, terminated(singleName(name)), AT_REMOVEDIR)
}

/** Creates a symbolic link of this name. `target` is stored as it is. */
export function symlinkAt(target: string, directory: number, name: EntryName): void {
  symlinkat(withoutNul(target), directory, terminated(singleName(name)))
}

/** Reads where a symbolic link points to. EINVAL when it is none. */
export function readLinkAt(directory: number, name: EntryName): string {
  const buffer = Buffer.alloc(LINK_MAX)
  const length = readlinkat(directory, terminated(singleName(name)), buffer, buffer.length)
  return buffer.toString('utf8', 0, length)
}

/** Gives the entry `from` of one directory a second name in another. A link is linked itself, not what it points to. */
export function linkAt(
  fromDirectory: number,
  from: EntryName,
  toDirectory: number,
  to: EntryName,
): void {
  linkat(fromDirectory, terminated(singleName(from)), toDirectory, terminated(singleName(to)), 0)
}

/** Gives a file of our own, named by its absolute path, a second name in a directory. */
export function linkFileAt(path: string, directory: number, name: EntryName): void {
  if (!path.startsWith('/')) {
    throw new CodedError('INTERNAL', `Cannot link "${path}": expected an absolute path`)
  }
  // An absolute path makes the first descriptor void.
  linkat(-1, withoutNul(path), directory, terminated(singleName(name)), 0)
}

/** Moves an entry; EEXIST when the new name is taken. */
export function renameAt(
  fromDirectory: number,
  from: EntryName,
  toDirectory: number,
  to: EntryName,
): void {
  renameat2(
    fromDirectory,
    terminated(singleName(from)),
    toDirectory,
    terminated(singleName(to)),
    RENAME_NOREPLACE,
  )
}

/** Sets access and modification time of an open file, exactly (node:fs would round to a double). */
export function setTimes(fd: number, time: FileTime): void {
  times[0] = times[2] = BigInt(time.seconds)
  times[1] = times[3] = BigInt(time.nanoseconds)
  futimens(fd, null, timesBytes, 0)
}

/**
 * Lists an open directory from its start, without `.` and `..`, in the order of the file system.
 *
 * Holds a few hundred entries at a time, whatever the directory's size. What is added or removed meanwhile may or may not be seen.
 */
export function* listDirectory(directory: number): Generator<DirectoryEntry, void, undefined> {
  lseek(directory, 0, SEEK_SET)
  const buffer = Buffer.alloc(32 * 1024)
  for (;;) {
    const length = getdents64(directory, buffer, buffer.length)
    if (length === 0) return
    // struct linux_dirent64: u64 inode, s64 offset, u16 length, u8 type, name.
    for (let at = 0; at < length; at += buffer.readUInt16LE(at + 16)) {
      const start = at + 19
      const name = buffer.subarray(start, buffer.indexOf(0, start))
      if (name.length === 1 && name[0] === DOT) continue
      if (name.length === 2 && name[0] === DOT && name[1] === DOT) continue
      yield { name: Buffer.from(name), type: ENTRY_TYPES[buffer[at + 18] ?? 0] ?? 'other' }
    }
  }
}

const DOT = '.'.charCodeAt(0)
const SLASH = '/'.charCodeAt(0)
const NUL = Buffer.alloc(1)
// DT_UNKNOWN, DT_DIR, DT_REG, DT_LNK of <dirent.h>.
const ENTRY_TYPES: Readonly<Record<number, DirectoryEntry['type']>> = {
  0: 'unknown',
  4: 'directory',
  8: 'file',
  10: 'symlink',
}

/** An entry's name for a call that demands one component: `a/b`, `..` and a NUL in it would reach elsewhere. */
function singleName(name: EntryName): EntryName {
  const bad =
    typeof name === 'string'
      ? name === '' || name === '.' || name === '..' || name.includes('/')
      : name.length === 0 ||
        name.includes(SLASH) ||
        (name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT)))
  if (!bad) return name
  throw new CodedError(
    'INTERNAL',
    `Not a directory entry's name: ${JSON.stringify(Buffer.from(name).toString())}`,
  )
}

/** What the kernel reads up to the first NUL must be all of it. */
function terminated(name: EntryName): EntryName {
  if (typeof name === 'string') return withoutNul(name)
  if (name.includes(0)) return withoutNul(Buffer.from(name).toString())
  return Buffer.concat([name, NUL])
}

function withoutNul(text: string): string {
  if (!text.includes('\0')) return text
  throw new CodedError('INTERNAL', `A path must not contain NUL: ${JSON.stringify(text)}`)
}

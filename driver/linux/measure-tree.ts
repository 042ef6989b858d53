import { isSystemError } from '../../common/errors.ts'
import { close, diskUseAt, listDirectory, openDirectory, openDirectoryAt } from './directory.ts'

/** What a tree takes on the disk; a file with several names counts once. */
export interface TreeUse {
  readonly bytes: number
  readonly inodes: number
  /** False when the tree is larger or deeper than is looked at: the numbers are less than the truth. */
  readonly complete: boolean
}

/** Beyond these a tree was made to be hard to measure; nobody reads the numbers of such a one for their last digit. */
const MAX_ENTRIES = 1_000_000
/** Of paths from the top, in bytes: a thousand directories of the longest names. */
const MAX_PATH_BYTES = 256 * 1024
/** How much of a path is opened at once; the kernel takes 4095. */
const PIECE_BYTES = 2048
/** Entries between two rests: a few milliseconds' work. */
const SLICE = 1024

/**
 * Measures a directory and everything in it, also while others write there. Works relative to descriptors, for trees whose paths are longer than PATH_MAX,
 * and holds two descriptors at most; never follows a link nor enters another file system. Blocks its thread.
 *
 * @param path of a directory of our own, short, and not a link
 * @param rest called now and then, so that the disk has time for others
 * @throws a system error, e.g. ENOENT when there is no such directory
 */
export function measureTree(path: string, rest: () => void = () => undefined): TreeUse {
  let bytes = 0
  let inodes = 0
  let complete = true
  /** Files with other names that are still to come. */
  const linked = new Set<bigint>()
  const directories: Place[] = [{ piece: '', before: undefined, bytes: 0 }]
  const top = openDirectory(path)
  try {
    for (let place = directories.pop(); place !== undefined; place = directories.pop()) {
      const directory = openPlace(top, place)
      if (directory === undefined) continue
      try {
        for (const { name, type } of listDirectory(directory)) {
          if (inodes >= MAX_ENTRIES) return { bytes, inodes, complete: false }
          const use = unlessGone(() => diskUseAt(directory, name))
          if (use === undefined) continue
          const isDirectory = type === 'directory'
          if (!isDirectory && use.links > 1) {
            if (linked.has(use.inode)) continue
            linked.add(use.inode)
          }
          bytes += use.bytes
          inodes += 1
          if (inodes % SLICE === 0) rest()
          if (!isDirectory) continue
          if (place.bytes + name.length < MAX_PATH_BYTES) directories.push(inside(place, name))
          else complete = false
        }
      } finally {
        close(directory)
      }
    }
  } finally {
    close(top)
  }
  return { bytes, inodes, complete }
}

/** A directory below the top, as pieces of a path that can be opened one from the other. */
interface Place {
  /** Bytes as Latin-1, which takes a fraction of the memory. */
  readonly piece: string
  readonly before: Place | undefined
  readonly bytes: number
}

function inside(place: Place, name: Uint8Array): Place {
  const text = Buffer.from(name).toString('latin1')
  const bytes = place.bytes + name.length + 1
  if (place.piece === '') return { piece: text, before: place.before, bytes }
  if (place.piece.length + text.length < PIECE_BYTES) {
    return { piece: `${place.piece}/${text}`, before: place.before, bytes }
  }
  return { piece: text, before: place, bytes }
}

/** Undefined when it is gone, or became something else. */
function openPlace(top: number, place: Place): number | undefined {
  const pieces: string[] = []
  for (let at: Place | undefined = place; at !== undefined; at = at.before) pieces.push(at.piece)
  let directory = openDirectoryAt(top, '.')
  for (const piece of pieces.reverse()) {
    if (piece === '') continue
    const from = directory
    try {
      const next = unlessGone(() => openDirectoryAt(from, Buffer.from(piece, 'latin1')))
      if (next === undefined) return undefined
      directory = next
    } finally {
      close(from)
    }
  }
  return directory
}

function unlessGone<T>(call: () => T): T | undefined {
  try {
    return call()
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EXDEV')) return undefined
    throw error
  }
}

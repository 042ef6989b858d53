import { setTimeout as delay } from 'node:timers/promises'
import { isSystemError } from '../../common/errors.ts'
import {
  close,
  type EntryName,
  listDirectory,
  openDirectory,
  openDirectoryAt,
  removeDirectoryAt,
  renameAt,
  statAt,
  unlinkAt,
} from './directory.ts'

/** Called for every entry that is no directory, and for every directory, just before it is removed. */
export type BeforeRemoval = (directory: number, name: EntryName, isDirectory: boolean) => void

/** How many entries are removed between two turns of the event loop: about a millisecond's work. */
const SLICE = 128

/**
 * Removes an entry and, if it is a directory, everything in it; does nothing when there is no such entry.
 *
 * Works relative to descriptors, for trees whose paths are longer than PATH_MAX, and holds two descriptors and two listing
 * buffers for trees of any depth and width: a directory found two levels down is first moved up to the top. Never follows a
 * link, and does not enter another file system (EXDEV).
 *
 * @throws the first system error; what is left can be removed by another call
 */
export function removeTree(directory: number, name: EntryName, before?: BeforeRemoval): void {
  for (const _ of removing(directory, name, before));
}

/**
 * Removes an entry of the directory at a path as {@link removeTree} does, letting the event loop turn after every {@link SLICE} entries.
 *
 * @param directory path of a directory of our own, short, and not a link
 * @param pauseMs its first number says how long to rest after a slice, looked up each time, so that the disk has time for others; absent: not at all
 * @throws the signal's reason when it fires; what is left can be removed by another call
 */
export async function removeTreeInSlices(
  directory: string,
  name: EntryName,
  signal?: AbortSignal,
  pauseMs?: Int32Array,
): Promise<void> {
  const fd = openDirectory(directory)
  try {
    let removed = 0
    for (const _ of removing(fd, name)) {
      if (++removed % SLICE !== 0) continue
      const pause = pauseMs?.[0] ?? 0
      if (pause > 0) await delay(pause)
      else await new Promise<void>((resolve) => setImmediate(resolve))
      signal?.throwIfAborted()
    }
  } finally {
    close(fd)
  }
}

/** Yields after each entry it removed or moved. */
function* removing(parent: number, name: EntryName, before?: BeforeRemoval): Generator<void> {
  const found = statAt(parent, name)
  if (found === undefined) return
  if (!found.isDirectory()) {
    before?.(parent, name, false)
    unlinkAt(parent, name)
    return
  }
  const top = openDirectoryAt(parent, name)
  try {
    const moveUp = mover(top)
    yield* emptying(top, before, function* (child) {
      const fd = openDirectoryAt(top, child)
      try {
        yield* emptying(fd, before, function* (grandchild) {
          moveUp(fd, grandchild)
          yield
        })
      } finally {
        close(fd)
      }
      before?.(top, child, true)
      removeDirectoryAt(top, child)
    })
  } finally {
    close(top)
  }
  before?.(parent, name, true)
  removeDirectoryAt(parent, name)
}

/** Removes the entries of one directory until none is left, directories by `removeDirectory`. */
function* emptying(
  directory: number,
  before: BeforeRemoval | undefined,
  removeDirectory: (name: EntryName) => Generator<void>,
): Generator<void> {
  // A listing may miss what moved meanwhile: only one that found nothing is the last.
  for (let found = true; found; ) {
    found = false
    for (const { name, type } of listDirectory(directory)) {
      found = true
      if (type === 'directory' || (type === 'unknown' && isDirectory(directory, name))) {
        yield* removeDirectory(name)
      } else {
        before?.(directory, name, false)
        unlinkAt(directory, name)
      }
      yield
    }
  }
}

function isDirectory(directory: number, name: EntryName): boolean {
  return statAt(directory, name)?.isDirectory() === true
}

/** Moves directories to `top` under names that are free there. */
function mover(top: number): (from: number, name: EntryName) => void {
  let serial = 0
  return (from, name) => {
    for (;;) {
      try {
        renameAt(from, name, top, `.removing-${serial++}`)
        return
      } catch (error) {
        // Taken by an entry of the tree itself, or by a removal that was interrupted.
        if (!isSystemError(error, 'EEXIST')) throw error
      }
    }
  }
}

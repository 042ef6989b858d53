import { randomBytes } from 'node:crypto'
import { lstat, mkdir, readdir, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isSystemError } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import { createKeyedLock } from '../keyed-lock.ts'
import { readRecord } from './record.ts'
import { readSmallFile } from './small-file.ts'

/** What goes when something of the store goes. */
export interface Size {
  readonly bytes: number
  readonly inodes: number
}

/**
 * What is on its way out: taken by one rename, deleted in the background, slowly, so that the disk has time for pods. The disposal stops
 * deleting; the next start goes on.
 */
export interface Trash extends AsyncDisposable {
  /**
   * Moves a file or directory of the store out of sight; does nothing when it is gone already.
   *
   * @param size what goes with it, where the caller knows better than a look at it tells
   */
  take(path: string, size?: Size): Promise<void>

  /**
   * Moves something out of sight unless it is still needed, which is asked **after** the move: whoever begins to need it later does not find it
   * any more. What is needed, or shown by a mount, is put back at once; the caller sees to it that nobody looks for it meanwhile.
   *
   * @returns whether it is gone
   */
  takeUnless(path: string, isNeeded: () => boolean): Promise<boolean>

  /** Deletes what was taken, except what a mount still shows; never follows a link. */
  empty(): Promise<void>

  /** Deletes without a rest, what was taken last first, because somebody waits for the room; until there is enough or nothing is left. */
  emptyNow(isEnough: () => boolean): Promise<void>

  /** What of it can be deleted, as far as that is known without walking through trees. */
  usage(): Promise<Size>
}

/** Between two slices of a hundred names or so: a million files then take a few minutes, and nobody notices. */
const PAUSE_MS = 20
/** Between two entries, most of which are smaller than a slice. */
const ENTRY_PAUSE_MS = 5

export function createTrash(options: {
  readonly directory: string
  readonly log: Logger
  /** Answers whether a mount shows what lies at a path of the store, be it by the path it has or by the one it had. */
  readonly isMounted: (path: string) => Promise<boolean>
  /** Deletes an entry of a directory, whatever it holds, relative to directory descriptors. */
  readonly removeTree: (
    directory: string,
    name: string,
    signal: AbortSignal,
    pauseMs: Int32Array,
  ) => Promise<void>
}): Trash {
  const { directory, log, isMounted, removeTree } = options
  const stopping = new AbortController()
  /** Entries that are being looked at or deleted: by one at a time. */
  const entries = createKeyedLock()
  /** Those that may be put back, or are about to get another name. */
  const undecided = new Set<string>()
  /** What is known of entries, the last taken last. */
  const sizes = new Map<string, Size>()
  const pauseMs = new Int32Array(new SharedArrayBuffer(4)).fill(PAUSE_MS)
  /** A mount still showed them when somebody looked last. */
  const shown = new Set<string>()
  let hurried = 0
  let emptying = Promise.resolve()
  let queued: Promise<void> | undefined
  const hurries = new Set<Promise<void>>()

  const moveIn = async (path: string, name: string): Promise<boolean> => {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    try {
      await rename(path, join(directory, name))
      return true
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return false
      throw error
    }
  }

  /**
   * Names what is taken so that an overlay of it is found again: mountinfo has that with the path of before, whatever becomes of the directory. A tree that is
   * damaged is taken while pods use it. Answers the name; nothing when the path was gone.
   */
  const takeAs = async (path: string): Promise<string | undefined> => {
    const name = randomName()
    if (!isContent(path)) return (await moveIn(path, name)) ? name : undefined
    const named = `${name}.${basename(dirname(path))}.${basename(path)}`
    undecided.add(named)
    try {
      if (!(await moveIn(path, named))) return undefined
      // A bind mount shows where it is now.
      if (await isMounted(path)) return named
      await rename(join(directory, named), join(directory, name))
      return name
    } finally {
      undecided.delete(named)
    }
  }

  const list = async (): Promise<readonly string[]> =>
    (await readdir(directory)).filter((name) => !undecided.has(name))

  const deleteEntry = async (name: string): Promise<void> => {
    using _ = await entries.acquire(name)
    if (stopping.signal.aborted) return
    const origin = originOf(name)
    const isShown =
      (await isMounted(join(directory, name))) ||
      (origin !== undefined && (await isMounted(join(dirname(directory), origin))))
    if (isShown) {
      shown.add(name)
      return
    }
    shown.delete(name)
    try {
      await removeTree(directory, name, stopping.signal, pauseMs)
      sizes.delete(name)
    } catch (error) {
      if (stopping.signal.aborted) return
      log.warn({ error, entry: name }, 'cannot delete from the trash; trying again later')
    }
  }

  const emptyOnce = async () => {
    for (const name of await list()) {
      if (stopping.signal.aborted) return
      await deleteEntry(name)
      if (hurried === 0) await delay(ENTRY_PAUSE_MS)
    }
  }

  const hurry = async (isEnough: () => boolean) => {
    const known = [...sizes.keys()].reverse()
    // A hostile tree that an earlier process left is not what will make room soon.
    const rest = (await list()).filter((name) => !sizes.has(name))
    for (const name of [...known, ...rest]) {
      if (stopping.signal.aborted || isEnough()) return
      await deleteEntry(name)
    }
  }

  const trash: Trash = {
    async take(path, size) {
      const name = await takeAs(path)
      if (name === undefined) return
      sizes.set(name, size ?? (await readSize(join(directory, name))))
      void trash.empty()
    },

    async takeUnless(path, isNeeded) {
      const name = randomName()
      undecided.add(name)
      try {
        if (!(await moveIn(path, name))) return false
        let isStaying = true
        try {
          // A bind mount is shown with the path its directory has now, an overlay with the one it had when it was mounted.
          isStaying =
            isNeeded() ||
            (await isMounted(join(directory, name))) ||
            (await isMounted(path)) ||
            isNeeded()
        } finally {
          // Also when that cannot be found out.
          if (isStaying) await rename(join(directory, name), path)
        }
        if (isStaying) return false
        sizes.set(name, await readSize(join(directory, name)))
        return true
      } finally {
        undecided.delete(name)
      }
    },

    empty() {
      if (queued === undefined) {
        queued = emptying
          .then(() => {
            // What is taken from here on may be missing from its listing.
            queued = undefined
            return emptyOnce()
          })
          .catch((error: unknown) => log.warn({ error }, 'cannot empty the trash'))
        emptying = queued
      }
      return queued
    },

    async emptyNow(isEnough) {
      hurried += 1
      pauseMs[0] = 0
      const hurrying = hurry(isEnough).finally(() => {
        hurried -= 1
        hurries.delete(hurrying)
        if (hurried === 0) pauseMs[0] = PAUSE_MS
      })
      hurries.add(hurrying)
      await hurrying
    },

    async usage() {
      let bytes = 0
      let inodes = 0
      for (const name of await list()) {
        if (shown.has(name)) continue
        const size = sizes.get(name) ?? (await readSize(join(directory, name)))
        bytes += size.bytes
        inodes += size.inodes
      }
      return { bytes, inodes }
    },

    async [Symbol.asyncDispose]() {
      stopping.abort(new Error('The driver is stopping'))
      await Promise.allSettled([emptying, ...hurries])
    },
  }
  return trash
}

/** Answers whether a path is that of a tree or view, of which volumes are made. */
function isContent(path: string): boolean {
  return /\/(?:trees|views)\/[0-9a-f]{64}$/.test(path)
}

/** Where an entry that overlays show lay in the store, e.g. `trees/<key>`. */
function originOf(name: string): string | undefined {
  const [, kind, key] = name.split('.')
  return kind === undefined || key === undefined ? undefined : join(kind, key)
}

function randomName(): string {
  return randomBytes(12).toString('hex')
}

/** A tree or view has its record with it; of anything else that is a directory nothing is known but that it is there. */
async function readSize(path: string): Promise<Size> {
  try {
    const meta = await readSmallFile(join(path, 'meta.json'), (value) => {
      const record = readRecord(value)
      const own = (key: string, all: string) => record.integer(record.has(key) ? key : all)
      return { bytes: own('ownBytes', 'bytes'), inodes: own('ownInodes', 'inodes') }
    })
    if (meta.state === 'ok') return meta.value
    const found = await lstat(path)
    return { bytes: found.isFile() && found.nlink === 1 ? found.size : 0, inodes: 1 }
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return { bytes: 0, inodes: 0 }
    throw error
  }
}

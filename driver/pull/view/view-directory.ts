import { type BigIntStats, fchmodSync, fstatSync } from 'node:fs'
import { isSystemError } from '../../../common/errors.ts'
import {
  close,
  type FileTime,
  makeDirectoryAt,
  openDirectory,
  openDirectoryAt,
  setTimes,
} from '../../linux/directory.ts'
import { joinPath } from '../tree/tree-path.ts'

const NANOSECONDS = 1_000_000_000n

/** What a directory is left with. */
interface Metadata {
  readonly mode: number
  readonly time: FileTime
}

/** Is told what becomes of a directory. */
export interface DirectoryWatcher {
  /** There was none of this name. */
  onCreated(): void
  /** Makes the error for a file or link where a directory was to be. */
  blockedAt(path: string): Error
}

/**
 * A directory of a view that is being built: made, with those above it, when something is first placed in it, and not before.
 * One that is there already is used: directories merge. The disposal closes it.
 */
export class ViewDirectory implements Disposable {
  /** From the view's root, which is `""`. */
  readonly path: string
  readonly #open: () => { readonly fd: number; readonly isNew: boolean }
  #fd: number | undefined
  /** Put back when nothing else is asked for: entries made in a directory change its time. */
  #before: Metadata | undefined
  #after: Metadata | undefined

  private constructor(path: string, open: () => { fd: number; isNew: boolean }) {
    this.path = path
    this.#open = open
  }

  /** The root of a view, an empty directory of our own. */
  static root(path: string): ViewDirectory {
    return new ViewDirectory('', () => ({ fd: openDirectory(path), isNew: true }))
  }

  child(name: string, watcher: DirectoryWatcher): ViewDirectory {
    const path = joinPath(this.path, name)
    return new ViewDirectory(path, () => {
      const isNew = madeDirectory(this.fd, name)
      if (isNew) watcher.onCreated()
      try {
        return { fd: openDirectoryAt(this.fd, name), isNew }
      } catch (error) {
        if (isSystemError(error, 'ENOTDIR', 'ELOOP')) throw watcher.blockedAt(path)
        throw error
      }
    })
  }

  /**
   * The descriptor, while this is not disposed of.
   *
   * @throws what {@link DirectoryWatcher.blockedAt} makes when something else than a directory is in the way of this one or one above it
   */
  get fd(): number {
    if (this.#fd === undefined) {
      const { fd, isNew } = this.#open()
      this.#fd = fd
      this.#before = isNew ? undefined : metadataOf(fstatSync(fd, { bigint: true }))
    }
    return this.#fd
  }

  /** Has it take the mode and time of a tree's directory, when it is closed and if it was made or found. */
  become(directory: number): void {
    this.#after = metadataOf(fstatSync(directory, { bigint: true }))
  }

  [Symbol.dispose](): void {
    if (this.#fd === undefined) return
    try {
      const left = this.#after ?? this.#before
      // mkdir(2) heeds the process's umask.
      fchmodSync(this.#fd, left?.mode ?? 0o755)
      if (left !== undefined) setTimes(this.#fd, left.time)
    } finally {
      close(this.#fd)
      this.#fd = undefined
    }
  }
}

/** Answers whether it made one: something of this name may be there. */
function madeDirectory(parent: number, name: string): boolean {
  try {
    makeDirectoryAt(parent, name, 0o755)
    return true
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) return false
    throw error
  }
}

function metadataOf({ mode, mtimeNs }: BigIntStats): Metadata {
  const nanoseconds = ((mtimeNs % NANOSECONDS) + NANOSECONDS) % NANOSECONDS
  return {
    mode: Number(mode) & 0o777,
    time: {
      seconds: Number((mtimeNs - nanoseconds) / NANOSECONDS),
      nanoseconds: Number(nanoseconds),
    },
  }
}

import { fchmodSync, fstatSync } from 'node:fs'
import { CodedError, isSystemError } from '../../../common/errors.ts'
import {
  close,
  type FileTime,
  makeDirectoryAt,
  openDirectory,
  openDirectoryAt,
  type Resolution,
  readLinkAt,
  setTimes,
} from '../../linux/directory.ts'
import { lastName, parentPath } from './tree-path.ts'

/** An open directory of a tree that is being built. */
export interface TreeDirectory {
  readonly fd: number
  readonly inode: bigint
}

/** What is put back when the descriptor is closed: entries made in a directory change its time. */
interface OpenDirectory extends TreeDirectory {
  mode: number
  time: FileTime
  modeChanged: boolean
  paths: number
}

/** Enough for archives in depth-first order, of any depth allowed. */
const MAX_OPEN = 80
/** As the kernel's own limit of links in one path. */
const MAX_LINKS = 40
const NANOSECONDS = 1_000_000_000n

/**
 * The directories of a tree that is being built, by path from its root: a bounded number is held open, the least recently used closed first.
 *
 * A directory gets its final mode and modification time when its descriptor is closed; opened again, it
 * keeps those that it had. A {@link TreeDirectory} may be used until {@link MAX_OPEN} other directories were asked for.
 */
export class TreeDirectories implements Disposable {
  readonly root: TreeDirectory
  readonly #root: OpenDirectory
  readonly #resolution: Resolution
  readonly #onCreated: () => void
  /** Least recently used first; several paths may lead to one directory. */
  readonly #byPath = new Map<string, OpenDirectory>()
  readonly #byInode = new Map<bigint, OpenDirectory>()
  #lastPath: string | undefined
  #last: OpenDirectory | undefined

  /** @param options.onCreated called for every directory that {@link ensure} creates */
  constructor(options: {
    readonly root: string
    readonly resolution: Resolution
    readonly onCreated: () => void
  }) {
    this.#resolution = options.resolution
    this.#onCreated = options.onCreated
    this.#root = this.#adopt(openDirectory(options.root))
    this.root = this.#root
  }

  /**
   * Opens an existing directory.
   *
   * @throws a system error: ENOENT, ENOTDIR, and ELOOP for a symbolic link where none is followed
   */
  open(path: string): TreeDirectory {
    return this.#open(path)
  }

  /**
   * Opens a directory, creating it and those above it where they are missing, with mode 0755.
   *
   * @throws INVALID when something else than a directory is in the way
   */
  ensure(path: string): TreeDirectory {
    try {
      return this.#ensure(path, 0)
    } catch (error) {
      if (isSystemError(error, 'ENOTDIR', 'ELOOP', 'EXDEV', 'EINVAL', 'ENAMETOOLONG')) {
        throw new CodedError(
          'INVALID',
          `its parent ${JSON.stringify(path)} is, or is below, a file or symbolic link; expected a directory`,
          { cause: error },
        )
      }
      throw error
    }
  }

  /** Sets the mode and modification time that a directory is left with. */
  setMetadata(path: string, mode: number, time: FileTime | undefined): void {
    const directory = this.#open(path)
    if (directory.mode !== mode) {
      directory.mode = mode
      directory.modeChanged = true
    }
    if (time !== undefined) directory.time = time
  }

  /** Closes all but the root: to be called when a directory or link was removed, since paths may lead elsewhere from then on. */
  forget(): void {
    this.#lastPath = undefined
    for (const path of [...this.#byPath.keys()]) this.#drop(path)
  }

  /** Gives all open directories their final mode and time, and closes them. */
  finish(): void {
    this.forget()
    this.#restore(this.#root)
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#byInode.values()) close(fd)
    this.#byInode.clear()
    this.#byPath.clear()
  }

  #open(path: string): OpenDirectory {
    if (path === '') return this.#root
    if (path === this.#lastPath && this.#last !== undefined) return this.#last
    let directory = this.#byPath.get(path)
    if (directory === undefined) {
      directory = this.#adopt(openDirectoryAt(this.#root.fd, path, this.#resolution))
      directory.paths++
      if (this.#byPath.size >= MAX_OPEN) this.#drop(this.#byPath.keys().next().value)
    } else {
      this.#byPath.delete(path)
    }
    this.#byPath.set(path, directory)
    this.#lastPath = path
    this.#last = directory
    return directory
  }

  #ensure(path: string, links: number): OpenDirectory {
    try {
      return this.#open(path)
    } catch (error) {
      if (!isSystemError(error, 'ENOENT')) throw error
    }
    const name = lastName(path)
    const parent = this.#ensure(parentPath(path), links)
    if (name === '..' || name === '.' || name === '') return this.#open(path)
    try {
      makeDirectoryAt(parent.fd, name, 0o755)
    } catch (error) {
      if (!isSystemError(error, 'EEXIST') || this.#resolution !== 'in-root') throw error
      // A link to a directory that is not there yet; or no link, which EINVAL says.
      return this.#ensureTarget(path, readLinkAt(parent.fd, name), links + 1)
    }
    const directory = this.#open(path)
    directory.mode = 0o755
    directory.modeChanged = true
    this.#onCreated()
    return directory
  }

  /** Creates what a dangling link of an image points to, as seen from the image's root. */
  #ensureTarget(path: string, target: string, links: number): OpenDirectory {
    if (links > MAX_LINKS) throw new CodedError('INVALID', 'its parent is a loop of symbolic links')
    // Not simplified: what `..` means behind another link is the kernel's to say.
    const from = target.startsWith('/') ? '' : `${parentPath(path)}/`
    this.#ensure(`${from}${target}`.replace(/^\/+/, '').replace(/\/+$/, ''), links)
    return this.#open(path)
  }

  #adopt(fd: number): OpenDirectory {
    const { ino, mode, mtimeNs } = fstatSync(fd, { bigint: true })
    const known = this.#byInode.get(ino)
    if (known !== undefined) {
      close(fd)
      return known
    }
    const nanoseconds = ((mtimeNs % NANOSECONDS) + NANOSECONDS) % NANOSECONDS
    const directory = {
      fd,
      inode: ino,
      mode: Number(mode) & 0o777,
      time: {
        seconds: Number((mtimeNs - nanoseconds) / NANOSECONDS),
        nanoseconds: Number(nanoseconds),
      },
      modeChanged: false,
      paths: 0,
    }
    this.#byInode.set(ino, directory)
    return directory
  }

  #drop(path: string | undefined): void {
    const directory = path === undefined ? undefined : this.#byPath.get(path)
    if (path === undefined || directory === undefined) return
    this.#byPath.delete(path)
    if (path === this.#lastPath) this.#lastPath = undefined
    directory.paths--
    // The root stays open, by whatever other path a link led to it.
    if (directory.paths > 0 || directory === this.#root) return
    this.#byInode.delete(directory.inode)
    this.#restore(directory)
    close(directory.fd)
  }

  #restore(directory: OpenDirectory): void {
    if (directory.modeChanged) fchmodSync(directory.fd, directory.mode)
    setTimes(directory.fd, directory.time)
  }
}

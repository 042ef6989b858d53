import { fchmodSync } from 'node:fs'
import { CodedError, isSystemError } from '../../../common/errors.ts'
import {
  close,
  createFileAt,
  type FileTime,
  linkAt,
  makeDirectoryAt,
  readLinkAt,
  removeDirectoryAt,
  setTimes,
  statAt,
  symlinkAt,
  unlinkAt,
} from '../../linux/directory.ts'
import { removeTree } from '../../linux/remove-tree.ts'
import type { Flavour } from '../layout/layout-step.ts'
import { placeBlob, placeCopy } from './tree-blob.ts'
import { TreeDirectories, type TreeDirectory } from './tree-directories.ts'
import type { TreeSummary } from './tree-job.ts'
import { hideEntry, LayerRecord } from './tree-layer.ts'
import { lastName, parentPath } from './tree-path.ts'
import { leadsThroughNames, staysInTree, symlinkFault, targetFault } from './tree-symlinks.ts'
import { TreeTally } from './tree-tally.ts'

/**
 * Writes the entries of one tree, every one relative to a descriptor of the directory that holds it.
 *
 * Paths are as `readTreePath` gives them. What is there already is replaced: unlinked, never written to, because it may share its content with the store.
 * A directory stays a directory when both are. Faults are `INVALID` with a message that completes `Entry "x": ...`.
 */
export class TreeWriter implements Disposable {
  readonly #flavour: Flavour
  readonly #directories: TreeDirectories
  readonly #tally = new TreeTally()
  /** Links to check once the tree is complete, by path. */
  readonly #linksToCheck = new Map<string, string>()
  readonly #umask = process.umask()
  #layer: LayerRecord | undefined
  /** A directory or link was removed: paths may lead elsewhere, and open directories may be gone. */
  #stale = false

  constructor(options: { readonly root: string; readonly flavour: Flavour }) {
    this.#flavour = options.flavour
    this.#directories = new TreeDirectories({
      root: options.root,
      resolution: options.flavour === 'image' ? 'in-root' : 'beneath',
      onCreated: () => this.#tally.addDirectory(),
    })
    this.#directories.setMetadata('', 0o755, undefined)
  }

  /** Starts the next layer: whiteouts hide only what was there before. */
  beginLayer(): void {
    if (this.#flavour === 'image') {
      this.#layer = new LayerRecord(this.#directories.root.inode)
    }
  }

  /** Makes a directory if there is none, without a mode or time of its own. */
  ensureDirectory(path: string): void {
    this.#ensure(path)
  }

  /** Creates a file and opens it for writing; the caller hands the descriptor to {@link finishFile}, or closes it. */
  createFile(path: string, mode: number, bytes: number): number {
    const parent = this.#ensure(parentPath(path))
    const name = lastName(path)
    const fd = this.#replacing(parent, name, () => createFileAt(parent.fd, name, mode))
    this.#tally.addFile(bytes)
    this.#layer?.place(parent, name)
    if ((mode & this.#umask) !== 0) fchmodSync(fd, mode)
    return fd
  }

  /** Sets a written file's time and closes it. */
  finishFile(fd: number, time: FileTime): void {
    try {
      setTimes(fd, time)
    } finally {
      close(fd)
    }
  }

  /** Makes a directory, or gives the one that is there its mode and time; `""` is the root. */
  makeDirectory(path: string, mode: number, time: FileTime): void {
    if (path === '') {
      // Whoever the pod runs as must get in.
      const rootMode = this.#flavour === 'image' ? mode | 0o555 : 0o755
      this.#directories.setMetadata('', rootMode, time)
      return
    }
    const parent = this.#ensure(parentPath(path))
    const name = lastName(path)
    try {
      makeDirectoryAt(parent.fd, name, 0o700)
      this.#tally.addDirectory()
    } catch (error) {
      if (!isSystemError(error, 'EEXIST')) throw error
      if (statAt(parent.fd, name)?.isDirectory() !== true) {
        this.#remove(parent, name)
        makeDirectoryAt(parent.fd, name, 0o700)
        this.#tally.addDirectory()
      }
    }
    this.#layer?.place(parent, name)
    this.#refresh()
    try {
      this.#directories.setMetadata(path, mode, time)
    } catch (error) {
      if (!isSystemError(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error
      // The attack: `a -> .` and then the directory `a/a`, which takes the place of `a` itself.
      throw new CodedError(
        'INVALID',
        'takes the place of a symbolic link that its path leads through',
        {
          cause: error,
        },
      )
    }
  }

  makeSymlink(path: string, target: string): void {
    const isArtifact = this.#flavour === 'artifact'
    const fault = targetFault(target) ?? (isArtifact ? symlinkFault(path, target) : undefined)
    if (fault !== undefined) throw new CodedError('INVALID', fault)
    if (isArtifact && leadsThroughNames(target)) this.#linksToCheck.set(path, target)
    const parent = this.#ensure(parentPath(path))
    const name = lastName(path)
    this.#replacing(parent, name, () => symlinkAt(target, parent.fd, name))
    this.#tally.addLink()
    this.#layer?.place(parent, name)
  }

  /**
   * Gives what is at `target` a second name; only a regular file, in an image also a symbolic link, of this tree.
   *
   * The attack (CVE-2026-50163): a hard link to a file of the host, or through a symbolic link, and then an entry that writes to it.
   */
  makeHardLink(path: string, target: string): void {
    const parent = this.#ensure(parentPath(path))
    const name = lastName(path)
    const source = this.#openExisting(parentPath(target))
    const sourceName = lastName(target)
    const found =
      source === undefined || sourceName === '' ? undefined : statAt(source.fd, sourceName)
    const linkable =
      found?.isFile() === true || (this.#flavour === 'image' && found?.isSymbolicLink() === true)
    if (source === undefined || found === undefined || !linkable) {
      throw new CodedError(
        'INVALID',
        `is a hard link to ${JSON.stringify(target)}, which is ${found === undefined ? 'not there' : 'no regular file'}; expected a file that comes before it`,
      )
    }
    this.#layer?.place(parent, name)
    // Unlinking first would remove the only name.
    if (source.inode === parent.inode && sourceName === name) return
    this.#replacing(parent, name, () => {
      try {
        linkAt(source.fd, sourceName, parent.fd, name)
      } catch (error) {
        if (isSystemError(error, 'ENOENT')) {
          throw new CodedError('INVALID', 'is a hard link into what it replaces', { cause: error })
        }
        // ext4 lets a file have 65 000 names.
        if (!isSystemError(error, 'EMLINK') || !found.isFile()) throw error
        placeCopy(source.fd, sourceName, parent.fd, name)
      }
    })
    if (found.isSymbolicLink()) this.#tally.addLink()
    else this.#tally.addFile(Number(found.size))
  }

  /** Makes a blob of the store the file at `path`. */
  linkBlob(path: string, blobPath: string): void {
    const parent = this.#ensure(parentPath(path))
    const name = lastName(path)
    const bytes = this.#replacing(parent, name, () => placeBlob(blobPath, parent.fd, name))
    this.#tally.addFile(bytes)
  }

  /** Removes what lower layers have at `path`, as a whiteout file asks. */
  hide(path: string): void {
    this.#refresh()
    const parent = this.#openExisting(parentPath(path))
    if (parent !== undefined) this.#hide(parent, lastName(path))
  }

  /** Removes what lower layers have in the directory `path`, as an opaque whiteout asks. */
  hideContent(path: string): void {
    this.#refresh()
    const directory = this.#openExisting(path)
    if (directory !== undefined) this.#hide(directory, undefined)
  }

  /**
   * Checks what only the complete tree can tell, and gives directories their modes and times.
   *
   * @throws INVALID naming a symbolic link that leaves the artifact by way of another
   */
  finish(): TreeSummary {
    const { fd } = this.#directories.root
    for (const [path, target] of this.#linksToCheck) {
      if (!this.#isLink(path, target) || staysInTree(fd, path, target)) continue
      throw new CodedError(
        'INVALID',
        `Entry ${JSON.stringify(path)}: is a symbolic link to ${JSON.stringify(target)}, which may leave the artifact; expected no ".." behind another link or a name that is not there`,
      )
    }
    this.#directories.finish()
    return this.#tally.summary()
  }

  [Symbol.dispose](): void {
    this.#directories[Symbol.dispose]()
  }

  #hide(directory: TreeDirectory, name: string | undefined): void {
    if (this.#layer === undefined) return
    const changed = hideEntry({
      directory,
      name,
      layer: this.#layer,
      beforeRemoval: (fd, entry) => this.#uncount(fd, entry),
    })
    if (changed) this.#stale = true
  }

  #ensure(path: string): TreeDirectory {
    this.#refresh()
    return this.#directories.ensure(path)
  }

  /** Not while a directory is in use: closes them all. */
  #refresh(): void {
    if (!this.#stale) return
    this.#directories.forget()
    this.#stale = false
  }

  /** Undefined when there is nothing to find there. */
  #openExisting(path: string): TreeDirectory | undefined {
    try {
      return this.#directories.open(path)
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined
      throw error
    }
  }

  /** Makes an entry; when its name is taken, removes what is there first. */
  #replacing<T>(parent: TreeDirectory, name: string, make: () => T): T {
    try {
      return make()
    } catch (error) {
      if (!isSystemError(error, 'EEXIST')) throw error
      this.#remove(parent, name)
      return make()
    }
  }

  #remove(parent: TreeDirectory, name: string): void {
    const found = statAt(parent.fd, name)
    if (found === undefined) return
    if (!found.isFile()) this.#stale = true
    if (found.isDirectory()) {
      if (this.#flavour === 'image') {
        removeTree(parent.fd, name, (fd, entry) => this.#uncount(fd, entry))
      } else {
        this.#removeEmptyDirectory(parent, name)
        this.#tally.remove(found)
      }
    } else {
      unlinkAt(parent.fd, name)
      this.#tally.remove(found)
    }
  }

  #removeEmptyDirectory(parent: TreeDirectory, name: string): void {
    try {
      removeDirectoryAt(parent.fd, name)
    } catch (error) {
      if (!isSystemError(error, 'ENOTEMPTY', 'EEXIST')) throw error
      throw new CodedError(
        'INVALID',
        'is no directory, but takes the place of one that has entries',
        { cause: error },
      )
    }
  }

  /** Answers whether a link that was made is still there: something else may have taken its place. */
  #isLink(path: string, target: string): boolean {
    const parent = this.#openExisting(parentPath(path))
    if (parent === undefined) return false
    try {
      return readLinkAt(parent.fd, lastName(path)) === target
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'EINVAL')) return false
      throw error
    }
  }

  #uncount(fd: number, name: string | Uint8Array): void {
    const found = statAt(fd, name)
    if (found !== undefined) this.#tally.remove(found)
  }
}

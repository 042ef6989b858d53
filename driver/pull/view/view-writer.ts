import { isSystemError } from '../../../common/errors.ts'
import {
  close,
  openDirectory,
  readLinkAt,
  sizeAt,
  statAt,
  symlinkAt,
  unlinkAt,
} from '../../linux/directory.ts'
import { placeLink } from '../tree/tree-blob.ts'
import type { TreeSummary } from '../tree/tree-job.ts'
import { joinPath } from '../tree/tree-path.ts'
import { leadsThroughNames, whereLinkLeads } from '../tree/tree-symlinks.ts'
import { TreeTally } from '../tree/tree-tally.ts'
import { type DirectoryWatcher, ViewDirectory } from './view-directory.ts'
import type { ViewSource } from './view-job.ts'
import { linkLeavesView, mergeConflict } from './view-message.ts'

/** An entry of a tree: its directory there, its name, and its path from the tree's root. */
export interface TreeEntry {
  readonly directory: number
  readonly name: string
  readonly path: string
}

/** A symbolic link to look at once everything is in its place. */
interface PlacedLink {
  readonly source: ViewSource
  /** In its own tree. */
  readonly path: string
  readonly target: string
}

/** Places the entries of trees in one view, every one relative to descriptors of the two directories that hold it. */
export class ViewWriter implements Disposable {
  readonly root: ViewDirectory
  readonly #sources: readonly ViewSource[]
  readonly #tally = new TreeTally()
  /** By path in the view. */
  readonly #linksToCheck = new Map<string, PlacedLink>()

  constructor(options: { readonly root: string; readonly sources: readonly ViewSource[] }) {
    this.root = ViewDirectory.root(options.root)
    this.#sources = options.sources
  }

  /** A directory in another, for what a source puts there. */
  directory(parent: ViewDirectory, name: string, source: ViewSource): ViewDirectory {
    const watcher: DirectoryWatcher = {
      onCreated: () => this.#tally.addDirectory(),
      blockedAt: (path) =>
        mergeConflict({ path, source, kind: 'directory', sources: this.#sources }),
    }
    return parent.child(name, watcher)
  }

  /** Gives a regular file a name in the view, in place of a file or link that an earlier source has there. */
  placeFile(entry: TreeEntry, to: ViewDirectory, source: ViewSource): void {
    const { directory, name } = entry
    this.#replacing(to, name, source, () => placeLink(directory, name, to.fd, name))
    this.#tally.addFile(sizeAt(directory, name))
  }

  /** Makes the same symbolic link in the view. */
  placeSymlink(entry: TreeEntry, to: ViewDirectory, source: ViewSource): void {
    const { directory, name, path } = entry
    const target = readLinkAt(directory, name)
    this.#replacing(to, name, source, () => symlinkAt(target, to.fd, name))
    this.#tally.addLink()
    if (leadsThroughNames(target) && !target.startsWith('/')) {
      this.#linksToCheck.set(joinPath(to.path, name), { source, path, target })
    }
  }

  /**
   * Checks what only the complete view can tell, and closes it.
   *
   * The attack: one artifact's `s -> a/b` and `l -> s/../../x` are harmless by themselves; another's `s -> .` in place of the first lets `l` out.
   *
   * @throws INVALID naming a symbolic link that stays in its own tree, and not in the view
   */
  finish(): TreeSummary {
    for (const [path, { source, path: own, target }] of this.#linksToCheck) {
      if (whereLinkLeads(this.root.fd, path, target) !== 'outside') continue
      // Those of images are kept as they are.
      if (leadsInside(source, own, target)) throw linkLeavesView(path, target, source)
    }
    this[Symbol.dispose]()
    return this.#tally.summary()
  }

  [Symbol.dispose](): void {
    this.root[Symbol.dispose]()
  }

  #replacing(to: ViewDirectory, name: string, source: ViewSource, place: () => void): void {
    try {
      place()
      return
    } catch (error) {
      if (!isSystemError(error, 'EEXIST')) throw error
    }
    const path = joinPath(to.path, name)
    const found = statAt(to.fd, name)
    if (found?.isDirectory()) {
      throw mergeConflict({ path, source, kind: 'file', sources: this.#sources })
    }
    unlinkAt(to.fd, name)
    if (found !== undefined) this.#tally.remove(found)
    this.#linksToCheck.delete(path)
    place()
  }
}

function leadsInside({ root }: ViewSource, path: string, target: string): boolean {
  const fd = openDirectory(root)
  try {
    return whereLinkLeads(fd, path, target) === 'inside'
  } finally {
    close(fd)
  }
}

import { fstatSync } from 'node:fs'
import {
  close,
  type EntryName,
  listDirectory,
  openDirectoryAt,
  openParent,
  statAt,
} from '../../linux/directory.ts'
import { type BeforeRemoval, removeTree } from '../../linux/remove-tree.ts'
import type { TreeDirectory } from './tree-directories.ts'

/**
 * What one layer of an image has placed so far, by the inode of the directory and the name: whiteouts hide lower layers only,
 * whichever order a layer's entries come in.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#whiteouts
 */
export class LayerRecord {
  readonly #root: bigint
  readonly #placed = new Set<string>()
  /** Directories that hold something of this layer, at any depth. */
  readonly #holding = new Set<bigint>()

  constructor(root: bigint) {
    this.#root = root
  }

  place(directory: TreeDirectory, name: string): void {
    this.#placed.add(`${directory.inode}/${name}`)
    if (!this.#holding.has(directory.inode)) this.#markHolding(directory)
  }

  hasPlaced(directory: bigint, name: EntryName): boolean {
    const text = typeof name === 'string' ? name : Buffer.from(name).toString()
    return this.#placed.has(`${directory}/${text}`)
  }

  holdsIn(directory: bigint): boolean {
    return this.#holding.has(directory)
  }

  /** Walks up by `..`, since the path that led here may have gone through links. */
  #markHolding({ fd, inode }: TreeDirectory): void {
    this.#holding.add(inode)
    let current = inode
    let opened: number | undefined
    while (current !== this.#root) {
      const parent = openParent(opened ?? fd)
      if (opened !== undefined) close(opened)
      opened = parent
      current = fstatSync(parent, { bigint: true }).ino
      if (this.#holding.has(current)) break
      this.#holding.add(current)
    }
    if (opened !== undefined) close(opened)
  }
}

/** One thing to hide: an entry of a directory, or, without a name, all of them. */
export interface Hiding {
  readonly directory: TreeDirectory
  readonly name: EntryName | undefined
  readonly layer: LayerRecord
  readonly beforeRemoval: BeforeRemoval
}

/** Removes what lower layers have there, and leaves what this layer placed. Answers whether anything was removed. */
export function hideEntry(hiding: Hiding): boolean {
  const { directory, name, layer } = hiding
  if (name === undefined) {
    let changed = false
    for (const entry of listDirectory(directory.fd)) {
      changed = hideEntry({ ...hiding, name: entry.name }) || changed
    }
    return changed
  }
  const found = statAt(directory.fd, name)
  if (found === undefined) return false
  const placed = layer.hasPlaced(directory.inode, name)
  if (found.isDirectory() && (placed || layer.holdsIn(found.ino))) {
    const fd = openDirectoryAt(directory.fd, name)
    try {
      return hideEntry({ ...hiding, directory: { fd, inode: found.ino }, name: undefined })
    } finally {
      close(fd)
    }
  }
  if (placed) return false
  removeTree(directory.fd, name, hiding.beforeRemoval)
  return true
}

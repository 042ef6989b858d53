import type { Modes } from '../../../common/composition/composition.ts'
import { CodedError, isSystemError } from '../../../common/errors.ts'
import { limitHint } from '../../../common/limit-hint.ts'
import { close } from '../../linux/directory.ts'
import type { Flavour } from '../layout/layout-step.ts'
import { writeFully } from '../tree/tree-blob.ts'
import type { TreeBudget } from '../tree/tree-budget.ts'
import { TREE_LIMIT_FLAGS } from '../tree/tree-limits.ts'
import { treeMode } from '../tree/tree-mode.ts'
import { isWithin, parentPath, readTreePath } from '../tree/tree-path.ts'
import type { TreeWriter } from '../tree/tree-writer.ts'
import type { TarEntry, TarHandler } from './tar-entry.ts'
import { forbiddenEntry, quotePath } from './tar-fault.ts'
import { whiteoutOf } from './whiteout.ts'

/** A handler that writes an archive's entries into a tree. Disposing of it closes a file that was not finished. */
export interface TarExtractor extends TarHandler, Disposable {}

/**
 * Makes the handler that applies the rules for what archives may contain, and hands what passes to the tree.
 *
 * @param options.path the directory of the tree that holds all of the archive; `""` is the root
 * @param options.namesFrom where the archive's names start: at the root, and then they must lie in `path`; or at `path`
 */
export function createTarExtractor(options: {
  readonly tree: TreeWriter
  readonly budget: TreeBudget
  readonly flavour: Flavour
  readonly modes: Modes
  readonly path: string
  readonly namesFrom: 'root' | 'path'
}): TarExtractor {
  const { tree, budget, flavour, modes } = options
  let file: { readonly fd: number; readonly entry: TarEntry } | undefined

  /** Where an archive's name is in the tree. */
  const pathOf = (name: string, what: string): string => {
    // Builders write the root of an image as "/".
    const path = name === '/' && flavour === 'image' ? '' : readTreePath(name, budget.limits)
    if (typeof path !== 'string') {
      const { detail, limit } = path
      if (limit === undefined) throw new CodedError('INVALID', `${what} ${detail}`)
      throw new CodedError('EXHAUSTED', `${what} ${detail}${limitHint(TREE_LIMIT_FLAGS[limit])}`)
    }
    if (options.namesFrom === 'path') return path === '' ? options.path : under(options.path, path)
    if (isWithin(path, options.path)) return path
    throw new CodedError(
      'INVALID',
      `${what} is outside of the layer's title ${quotePath(options.path)}`,
    )
  }

  const place = (entry: TarEntry) => {
    budget.takeEntry()
    const path = pathOf(entry.path, 'its name')
    if (flavour === 'image' && applyWhiteout(path)) return
    if (path === '' && entry.type !== 'directory') {
      throw new CodedError('INVALID', "its name is the root's; expected a directory there")
    }
    const mode = treeMode(entry.mode, modes)
    switch (entry.type) {
      case 'file':
        file = { fd: tree.createFile(path, mode, entry.size), entry }
        break
      case 'directory':
        tree.makeDirectory(path, mode, entry.time)
        break
      case 'symlink':
        tree.makeSymlink(path, entry.linkname)
        break
      case 'hardlink':
        tree.makeHardLink(path, pathOf(entry.linkname, 'its link name'))
        break
      case 'char':
      case 'block':
      case 'fifo':
        if (flavour === 'artifact') {
          throw new CodedError(
            'INVALID',
            `is a ${SPECIAL[entry.type]}; expected files, directories and links`,
          )
        }
        break
    }
  }

  /** Answers whether the entry was one that only says what lower layers lose. */
  const applyWhiteout = (path: string): boolean => {
    const whiteout = whiteoutOf(path)
    switch (whiteout.kind) {
      case 'none':
        return false
      case 'metadata':
        return true
      case 'opaque':
        tree.hideContent(parentPath(path))
        return true
      case 'entry':
        tree.hide(under(parentPath(path), whiteout.name))
        return true
    }
  }

  return {
    entry(entry) {
      try {
        place(entry)
      } catch (error) {
        throw explain(error, entry)
      }
    },
    content(bytes) {
      if (file !== undefined) writeFully(file.fd, bytes)
    },
    entryEnd() {
      if (file === undefined) return
      const { fd, entry } = file
      file = undefined
      tree.finishFile(fd, entry.time)
    },
    [Symbol.dispose]() {
      if (file !== undefined) close(file.fd)
    },
  }
}

const SPECIAL = { char: 'character device', block: 'block device', fifo: 'FIFO' } as const

function under(directory: string, path: string): string {
  return directory === '' ? path : `${directory}/${path}`
}

/** Names the entry. A path that the file system cannot have is the archive's fault. */
function explain(error: unknown, entry: TarEntry): unknown {
  if (error instanceof CodedError) {
    const detail = error.message.charAt(0).toLowerCase() + error.message.slice(1)
    return new CodedError(error.code, `Entry ${quotePath(entry.path)}: ${detail}`, { cause: error })
  }
  if (isSystemError(error, 'ENAMETOOLONG', 'EILSEQ')) {
    return forbiddenEntry(entry.path, `the node's file system cannot have it (${error.code})`)
  }
  return error
}

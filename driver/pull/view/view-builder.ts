import {
  createFileFilter,
  type FileFilter,
  type Reach,
} from '../../../common/composition/file-filter.ts'
import { CodedError, isSystemError, toCodedError } from '../../../common/errors.ts'
import { limitHint } from '../../../common/limit-hint.ts'
import {
  close,
  type DirectoryEntry,
  listDirectory,
  openDirectory,
  openDirectoryAt,
  statAt,
} from '../../linux/directory.ts'
import { aboutReference } from '../about-reference.ts'
import { nothingSelectedInTree } from '../layout/layout-message.ts'
import { watchSpace } from '../tree/space-watch.ts'
import type { Cancellation, TreeSummary } from '../tree/tree-job.ts'
import { TREE_LIMIT_FLAGS } from '../tree/tree-limits.ts'
import { joinPath, readTreePath } from '../tree/tree-path.ts'
import type { ViewDirectory } from './view-directory.ts'
import type { ViewJob, ViewSource } from './view-job.ts'
import { ViewWriter } from './view-writer.ts'

/** How many paths a message about globs that match nothing is made from. */
const MAX_CANDIDATES = 10_000
/** About a millisecond's work. */
const ENTRIES_BETWEEN_LOOKS = 100

/**
 * Builds a view in the current thread, by blocking calls: in a server, through `createTreeWorkers`.
 *
 * Regular files are hard links to those of the trees, so that no byte is copied; directories and symbolic links are made again, directories with
 * the mode and time of the last source that has them. A later source's file takes the place of an earlier one's; directories merge. No link is followed,
 * in no tree and not in the view. What a failed build left in the root is the caller's to delete.
 *
 * @throws INVALID for a file of one source where another has a directory, for globs that select nothing, and for a symbolic link that would leave the
 * view; EXHAUSTED for a limit or a full disk; the signal's reason when it fires
 */
export function buildView(job: ViewJob, signal: Cancellation): TreeSummary {
  using view = new ViewWriter(job)
  try {
    const takeEntry = countEntries(job, signal)
    for (const source of job.sources) placeSource({ view, source, takeEntry })
    signal.throwIfAborted()
    return view.finish()
  } catch (error) {
    signal.throwIfAborted()
    throw explain(error)
  }
}

/** One source on its way into the view. */
interface Placing {
  readonly view: ViewWriter
  readonly source: ViewSource
  readonly filter: FileFilter
  /** Said before each entry. */
  readonly takeEntry: () => void
  /** Said of each file, link and empty directory. */
  readonly onPlaced: () => void
}

function placeSource(options: Pick<Placing, 'view' | 'source' | 'takeEntry'>): void {
  const { view, source } = options
  let placed = 0
  const placing: Placing = {
    ...options,
    filter: createFileFilter(source.files),
    onPlaced: () => {
      placed += 1
    },
  }
  const tree = openDirectory(source.root)
  try {
    using place = openPlace(view, source)
    placeDirectory(placing, tree, '', place.directory, placing.filter.reach(''))
    if (placed === 0 && source.files !== undefined) {
      throw aboutReference(source.name, nothingSelectedInTree(source.files, listPaths(tree)))
    }
  } finally {
    close(tree)
  }
}

/** The directory of the view that a source is placed in, and those above it, none of them made yet. */
function openPlace(view: ViewWriter, source: ViewSource) {
  const clean = source.path === undefined ? '' : readTreePath(source.path)
  if (typeof clean !== 'string') {
    throw new CodedError(
      'INVALID',
      `Invalid path ${JSON.stringify(source.path)}: it ${clean.detail}`,
    )
  }
  const opened = new DisposableStack()
  let directory = view.root
  for (const name of clean === '' ? [] : clean.split('/')) {
    directory = opened.use(view.directory(directory, name, source))
  }
  return { directory, [Symbol.dispose]: () => opened.dispose() }
}

/** @param reach how much of what is below the directory is wanted */
function placeDirectory(
  placing: Placing,
  from: number,
  path: string,
  to: ViewDirectory,
  reach: Reach,
): void {
  const { view, source, filter, takeEntry } = placing
  to.become(from)
  let isEmpty = true
  for (const listed of listDirectory(from)) {
    isEmpty = false
    const name = Buffer.from(listed.name).toString()
    const entry = { directory: from, name, path: joinPath(path, name) }
    const kind = kindOf(from, listed, name)
    if (kind === 'directory') {
      const below = reach === 'all' ? 'all' : filter.reach(entry.path)
      if (below === 'none') continue
      takeEntry()
      using child = view.directory(to, name, source)
      const fd = openDirectoryAt(from, name)
      try {
        placeDirectory(placing, fd, entry.path, child, below)
      } finally {
        close(fd)
      }
    } else if (reach === 'all' || filter.selects(entry.path, 'file')) {
      takeEntry()
      placing.onPlaced()
      if (kind === 'file') view.placeFile(entry, to, source)
      else view.placeSymlink(entry, to, source)
    }
  }
  // One that is empty only because of the globs is left out; globs mean no root.
  if (isEmpty && (path === '' ? source.files === undefined : filter.selects(path, 'directory'))) {
    placing.onPlaced()
    void to.fd
  }
}

function kindOf(
  directory: number,
  { type }: DirectoryEntry,
  name: string,
): 'file' | 'directory' | 'symlink' {
  if (type === 'file' || type === 'directory' || type === 'symlink') return type
  const found = type === 'unknown' ? statAt(directory, name) : undefined
  if (found?.isFile()) return 'file'
  if (found?.isDirectory()) return 'directory'
  if (found?.isSymbolicLink()) return 'symlink'
  throw new CodedError('INTERNAL', `A tree has ${JSON.stringify(name)}, which it cannot have`)
}

function countEntries({ root, limits }: ViewJob, signal: Cancellation): () => void {
  const space = watchSpace(root, limits)
  let entries = 0
  return () => {
    if (entries++ % ENTRIES_BETWEEN_LOOKS === 0) signal.throwIfAborted()
    if (entries > limits.entries) {
      throw new CodedError(
        'EXHAUSTED',
        `Cannot put the volume together: its sources have more than ${limits.entries} entries${limitHint(TREE_LIMIT_FLAGS.entries)}`,
      )
    }
    space.take(0, 1)
  }
}

/** Files and links, for a message. */
function listPaths(tree: number): readonly string[] {
  const paths: string[] = []
  const visit = (directory: number, path: string) => {
    for (const entry of listDirectory(directory)) {
      if (paths.length >= MAX_CANDIDATES) return
      const name = Buffer.from(entry.name).toString()
      if (kindOf(directory, entry, name) !== 'directory') {
        paths.push(joinPath(path, name))
        continue
      }
      const fd = openDirectoryAt(directory, name)
      try {
        visit(fd, joinPath(path, name))
      } finally {
        close(fd)
      }
    }
  }
  visit(tree, '')
  return paths.sort()
}

function explain(error: unknown): CodedError {
  if (isSystemError(error, 'ENOSPC', 'EDQUOT')) {
    return new CodedError(
      'EXHAUSTED',
      `Cannot put the volume together: no space or no inodes left on the node's file system (${error.code})`,
      { cause: error },
    )
  }
  return toCodedError(error)
}

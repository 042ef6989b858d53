import {
  chmodSync,
  lutimesSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { TreeSummary } from '../../../../driver/pull/tree/tree-job.ts'
import { DEFAULT_TREE_LIMITS } from '../../../../driver/pull/tree/tree-limits.ts'
import { buildView } from '../../../../driver/pull/view/view-builder.ts'
import type { ViewJob, ViewSource } from '../../../../driver/pull/view/view-job.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'
import { failureText, NEVER, treeOf } from '../tree/tree-fixture.ts'

/** What a tree has at a path: a file's content, a link's target, or a directory with nothing in it. */
export type Entry =
  | string
  | { readonly link: string }
  | { readonly directory: true; readonly mode?: number; readonly time?: number }

/** Content by path. */
export type Content = Readonly<Record<string, Entry>>

/** Trees on disk as the store has them, and a root to build views in, with a canary beside it. */
export interface ViewFixture extends AsyncDisposable {
  readonly root: string
  /** Makes a tree, named `one`, `two`, ... */
  source(content: Content, options?: Partial<Omit<ViewSource, 'root'>>): ViewSource
  build(sources: readonly ViewSource[], options?: Partial<ViewJob>): TreeSummary
  /** Builds, and gives what it threw as `CODE message`. */
  failure(sources: readonly ViewSource[], options?: Partial<ViewJob>): string
  view(): Record<string, string>
  canary(): Record<string, string>
  /** Removes what was built. */
  clear(): void
}

const NAMES = ['one', 'two', 'three', 'four']

export async function viewFixture(): Promise<ViewFixture> {
  const temporary = await temporaryDirectory()
  const root = temporary.file('root')
  const outside = temporary.file('canary')
  mkdirSync(root)
  mkdirSync(join(outside, 'directory'), { recursive: true })
  writeFileSync(join(outside, 'secret'), 'not yours', { mode: 0o600 })
  let count = 0

  const fixture: ViewFixture = {
    root,
    source(content, options) {
      const tree = temporary.file(`tree-${count}`)
      mkdirSync(tree)
      chmodSync(tree, 0o755)
      for (const [path, entry] of Object.entries(content)) writeEntry(join(tree, path), entry)
      // From below: what is made in a directory changes its time.
      for (const [path, entry] of Object.entries(content).reverse()) stamp(join(tree, path), entry)
      return { name: NAMES[count++] ?? `source-${count}`, ...options, root: tree }
    },
    build: (sources, options) =>
      buildView({ root, limits: DEFAULT_TREE_LIMITS, ...options, sources }, NEVER),
    failure(sources, options) {
      try {
        fixture.build(sources, options)
      } catch (error) {
        return failureText(error)
      }
      return 'nothing was thrown'
    },
    view: () => treeOf(root),
    canary: () => treeOf(outside, { exact: true }),
    clear() {
      rmSync(root, { recursive: true })
      mkdirSync(root)
    },
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  }
  return fixture
}

function writeEntry(path: string, entry: Entry): void {
  mkdirSync(dirname(path), { recursive: true })
  if (typeof entry === 'string') writeFileSync(path, entry, { mode: 0o644 })
  else if ('link' in entry) symlinkSync(entry.link, path)
  else mkdirSync(path, { recursive: true })
}

function stamp(path: string, entry: Entry): void {
  if (typeof entry === 'string') return
  if ('link' in entry) lutimesSync(path, 1, 1)
  else {
    chmodSync(path, entry.mode ?? 0o755)
    if (entry.time !== undefined) utimesSync(path, entry.time, entry.time)
  }
}

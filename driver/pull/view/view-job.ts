import type { TreeLimits } from '../tree/tree-limits.ts'

/** One tree, and what of it a view shows where. Plain data: it crosses to a worker thread. */
export interface ViewSource {
  /** What messages call it: its reference. */
  readonly name: string
  /** Absolute path of the tree's root. */
  readonly root: string
  /** Relative, clean path of the directory it is placed in; absent: the view's root. */
  readonly path?: string
  /** Which of its files, gitignore style; absent: all. */
  readonly files?: readonly string[]
}

/** A view to build. */
export interface ViewJob {
  /** Absolute path of an existing, empty directory that nobody else writes to, on the file system of the trees. */
  readonly root: string
  readonly limits: TreeLimits
  /** At least one; where they meet, the last wins. */
  readonly sources: readonly ViewSource[]
}

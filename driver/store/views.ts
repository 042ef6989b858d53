import { createHash } from 'node:crypto'
import { type Committed, type CommittedStore, createCommittedStore } from './committed.ts'
import type { Durability } from './durability.ts'
import type { RecordReader } from './record.ts'
import type { Trash } from './trash.ts'
import type { TreeKey } from './trees.ts'

/** Names a view by what made it: 64 lowercase hex characters, safe as a file name. */
export type ViewKey = string

/** Bumped whenever the same sources would be put together differently, so that an upgraded driver does not serve old views. */
const VIEW_FORMAT = 1

/** What one tree contributes to a view. */
export interface ViewPart {
  readonly tree: TreeKey
  /** Relative, clean path of the directory it is placed in; absent: the view's root. */
  readonly path?: string
  /** Which of its files, gitignore style; absent: all. */
  readonly files?: readonly string[]
}

/** The key of a view of these trees, the last of which wins where they meet. */
export function viewKey(parts: readonly ViewPart[]): ViewKey {
  const identity = parts.map(({ tree, path = '', files }) => [tree, path, withoutRepeats(files)])
  return createHash('sha256')
    .update(JSON.stringify([VIEW_FORMAT, ...identity]))
    .digest('hex')
}

/** Of globs the last that matches counts, so that one said twice means the same without the first. */
function withoutRepeats(globs: readonly string[] | undefined): readonly string[] | null {
  return globs?.filter((glob, index) => globs.lastIndexOf(glob) === index) ?? null
}

/** What is known of a view: `views/<key>/meta.json`. */
export interface ViewFacts {
  /** Those it was made of, in order. It shares their files, and does not need them any more. */
  readonly trees: readonly TreeKey[]
  /** Of regular files; what NodeGetVolumeStats answers. */
  readonly bytes: number
  /** Files, directories and links. */
  readonly inodes: number
  /** What the view has alone: its files are those of its trees. Absent: as much as it shows. */
  readonly ownBytes?: number
  readonly ownInodes?: number
}

/** What a volume shows when that is not simply one whole tree: hard links into trees, immutable. */
export type View = Committed<ViewFacts>

/** Views by key. */
export type ViewStore = CommittedStore<ViewFacts>

export function createViewStore(options: {
  readonly directory: string
  readonly bootId: string
  readonly durability: Durability
  readonly trash: Trash
  readonly isHeld: (key: string) => boolean
}): ViewStore {
  return createCommittedStore<ViewFacts>({
    ...options,
    parse: parseViewFacts,
  })
}

/** Reads the facts of a record. @throws TypeError when they are not what they should be */
export function parseViewFacts(record: RecordReader): ViewFacts {
  return {
    trees: record.texts('trees'),
    bytes: record.integer('bytes'),
    inodes: record.integer('inodes'),
    ...(record.has('ownBytes') && { ownBytes: record.integer('ownBytes') }),
    ...(record.has('ownInodes') && { ownInodes: record.integer('ownInodes') }),
  }
}

import { createHash } from 'node:crypto'
import type { Digest } from '../../common/oci/digest.ts'
import type { Origin } from './blobs.ts'
import { type Committed, type CommittedStore, createCommittedStore } from './committed.ts'
import type { Durability } from './durability.ts'
import type { RecordReader } from './record.ts'
import type { Trash } from './trash.ts'

/** Names a tree by what made it: 64 lowercase hex characters, safe as a file name. */
export type TreeKey = string

/** Bumped whenever the same manifest would be laid out differently, so that an upgraded driver does not serve old trees. */
const TREE_FORMAT = 2

/** What decides a tree's content. Never where it goes. */
export interface TreeIdentity {
  /** Of the manifest, not of an index. */
  readonly manifest: Digest
  /** The positions in the manifest of the layers that make it; `all` for every one with content. */
  readonly layers: 'all' | readonly number[]
  readonly unpack: string
  readonly modes: string
}

export function treeKey(identity: TreeIdentity): TreeKey {
  const { manifest, layers, unpack, modes } = identity
  return createHash('sha256')
    .update(JSON.stringify([TREE_FORMAT, manifest, layers, unpack, modes]))
    .digest('hex')
}

/** What is known of a tree: `trees/<key>/meta.json`. */
export interface TreeFacts {
  readonly manifest: string
  /** `registry/repository` from which every blob of the tree was downloaded; whoever comes by another way proves the blobs first. */
  readonly origins: readonly Origin[]
  /** The blobs it was made of. */
  readonly blobs: readonly string[]
  /** Of regular files; what NodeGetVolumeStats answers. */
  readonly bytes: number
  /** Files, directories and links. */
  readonly inodes: number
  /** What the tree has alone: without the files that are blobs of the store. Absent: as much as it shows. */
  readonly ownBytes?: number
  readonly ownInodes?: number
}

/** A whole artifact laid out on disk, immutable. */
export type Tree = Committed<TreeFacts>

/**
 * Trees by key. A tree that exists is complete: it was built elsewhere and renamed into place together with its record.
 */
export interface TreeStore
  extends Pick<
    CommittedStore<TreeFacts>,
    'list' | 'survey' | 'known' | 'touch' | 'evict' | 'quarantine'
  > {
  /** Finds a tree; one that a power cut may have damaged, or whose record does not parse, is moved to the trash and not found. */
  get(key: TreeKey): Promise<Tree | undefined>

  /**
   * Makes a built tree visible. `staging` holds the tree in `root/` and is gone afterwards. When another build of the same key was
   * first, that one stays, gains the origins, and is returned.
   */
  commit(key: TreeKey, staging: string, facts: TreeFacts): Promise<Tree>

  /** Records that every blob of the tree was downloaded from `origin` too. */
  addOrigin(key: TreeKey, origin: Origin): Promise<void>
}

export function createTreeStore(options: {
  readonly directory: string
  readonly bootId: string
  readonly durability: Durability
  readonly trash: Trash
  readonly isHeld: (key: string) => boolean
}): TreeStore {
  const directories = createCommittedStore<TreeFacts>({
    ...options,
    stages: { recorded: 'tree-recorded', committed: 'tree-committed' },
    parse: parseTreeFacts,
  })
  const addOrigin = (key: TreeKey, origin: Origin) =>
    directories.change(key, (meta) => ({
      ...meta,
      origins: [...new Set([...meta.origins, origin])],
    }))
  return {
    ...directories,
    async commit(key, staging, facts) {
      const { committed, isOurs } = await directories.commit(key, staging, facts)
      if (isOurs) return committed
      // Both were built of blobs that had been downloaded, each from its own origins.
      for (const origin of facts.origins) await addOrigin(key, origin)
      return (await directories.get(key)) ?? committed
    },
    addOrigin,
  }
}

/** Reads the facts of a record. @throws TypeError when they are not what they should be */
export function parseTreeFacts(record: RecordReader): TreeFacts {
  return {
    manifest: record.text('manifest'),
    origins: record.texts('origins'),
    blobs: record.texts('blobs'),
    bytes: record.integer('bytes'),
    inodes: record.integer('inodes'),
    ...(record.has('ownBytes') && { ownBytes: record.integer('ownBytes') }),
    ...(record.has('ownInodes') && { ownInodes: record.integer('ownInodes') }),
  }
}

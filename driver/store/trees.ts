import { createHash } from 'node:crypto'
import { readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { Digest } from '../../common/oci/digest.ts'
import { createKeyedLock, type KeyedLock } from '../keyed-lock.ts'
import type { Origin } from './blobs.ts'
import type { Durability } from './durability.ts'
import { readRecord } from './record.ts'
import { readSmallFile, writeSmallFile } from './small-file.ts'
import type { Trash } from './trash.ts'

/** Names a tree by what made it: 64 lowercase hex characters, safe as a file name. */
export type TreeKey = string

/** Bumped whenever the same manifest would be laid out differently, so that an upgraded driver does not serve old trees. */
const TREE_FORMAT = 1

/** What decides a tree's content. Never where it goes. */
export interface TreeIdentity {
  /** Of the manifest, not of an index. */
  readonly manifest: Digest
  readonly unpack: string
  readonly modes: string
}

export function treeKey(identity: TreeIdentity): TreeKey {
  const { manifest, unpack, modes } = identity
  return createHash('sha256')
    .update(JSON.stringify([TREE_FORMAT, manifest, unpack, modes]))
    .digest('hex')
}

/** What is known of a tree: `trees/<key>/meta.json`. */
export interface TreeMeta {
  readonly manifest: string
  /** `registry/repository` from which every blob of the tree was downloaded; whoever comes by another way proves the blobs first. */
  readonly origins: readonly Origin[]
  /** The blobs it was made of. */
  readonly blobs: readonly string[]
  /** Of regular files; what NodeGetVolumeStats answers. */
  readonly bytes: number
  /** Files, directories and links. */
  readonly inodes: number
  readonly bootId: string
  readonly durable: boolean
}

/** A whole artifact laid out on disk, immutable. */
export interface Tree {
  readonly key: TreeKey
  /** The directory to mount. */
  readonly root: string
  readonly meta: TreeMeta
}

/**
 * Trees by key. A tree that exists is complete: it was built elsewhere and renamed into place together with its record.
 */
export interface TreeStore {
  /** Finds a tree; one that a power cut may have damaged, or whose record does not parse, is moved to the trash and not found. */
  get(key: TreeKey): Promise<Tree | undefined>

  /**
   * Makes a built tree visible. `staging` holds the tree in `root/` and is gone afterwards. When another build of the same key was
   * first, that one stays and is returned.
   */
  commit(key: TreeKey, staging: string, meta: Omit<TreeMeta, 'bootId' | 'durable'>): Promise<Tree>

  /** Records that every blob of the tree was downloaded from `origin` too. */
  addOrigin(key: TreeKey, origin: Origin): Promise<void>

  list(): Promise<readonly TreeKey[]>
}

export function createTreeStore(options: {
  readonly directory: string
  readonly bootId: string
  readonly durability: Durability
  readonly trash: Trash
}): TreeStore {
  const { directory, bootId, durability, trash } = options
  const records: KeyedLock = createKeyedLock()
  const metaPath = (key: TreeKey) => join(directory, key, 'meta.json')
  const change = async (key: TreeKey, update: (meta: TreeMeta) => TreeMeta) => {
    using _ = await records.acquire(key)
    const meta = await readSmallFile(metaPath(key), parseTreeMeta)
    if (meta.state === 'ok') await writeSmallFile(metaPath(key), JSON.stringify(update(meta.value)))
  }

  /** Puts a built tree in its place, unless another build was first. */
  const place = async (key: TreeKey, staging: string) => {
    using _ = await records.acquire(key)
    if ((await store.get(key)) !== undefined) {
      await trash.take(staging)
      return
    }
    // A directory of that name without a usable record would be in the way.
    await trash.take(join(directory, key))
    await rename(staging, join(directory, key))
  }

  const store: TreeStore = {
    async get(key) {
      const meta = await readSmallFile(metaPath(key), parseTreeMeta)
      if (meta.state === 'absent') return undefined
      if (meta.state === 'broken' || (!meta.value.durable && meta.value.bootId !== bootId)) {
        await trash.take(join(directory, key))
        return undefined
      }
      return { key, root: join(directory, key, 'root'), meta: meta.value }
    },

    async commit(key, staging, facts) {
      const meta: TreeMeta = { ...facts, bootId, durable: false }
      await writeSmallFile(join(staging, 'meta.json'), JSON.stringify(meta))
      await place(key, staging)
      durability.add(() => change(key, (found) => ({ ...found, durable: true })))
      const tree = await store.get(key)
      if (tree === undefined) throw new Error(`tree ${key} is gone right after its commit`)
      return tree
    },

    addOrigin: (key, origin) =>
      change(key, (meta) => ({ ...meta, origins: [...new Set([...meta.origins, origin])] })),

    list: async () => (await readdir(directory)).filter((name) => /^[0-9a-f]{64}$/.test(name)),
  }
  return store
}

function parseTreeMeta(value: unknown): TreeMeta {
  const record = readRecord(value)
  return {
    manifest: record.text('manifest'),
    origins: record.texts('origins'),
    blobs: record.texts('blobs'),
    bytes: record.integer('bytes'),
    inodes: record.integer('inodes'),
    bootId: record.text('bootId'),
    durable: record.flag('durable'),
  }
}

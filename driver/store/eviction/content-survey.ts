import { renameSync, rmSync } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isSystemError } from '../../../common/errors.ts'
import { isDigest } from '../../../common/oci/digest.ts'
import { ingestDigest, ingestRecordPath } from '../ingest-files.ts'
import type { Store } from '../store.ts'
import type { Size } from '../trash.ts'
import type { Item } from './plan-eviction.ts'

/** The directory, its root and its record. */
export const TREE_INODES = 3
/** The file and its record. */
export const BLOB_INODES = 2

/** What a tree or view has alone. */
export function ownSize(facts: {
  readonly bytes: number
  readonly inodes: number
  readonly ownBytes?: number
  readonly ownInodes?: number
}): Size {
  return {
    bytes: facts.ownBytes ?? facts.bytes,
    inodes: (facts.ownInodes ?? facts.inodes) + TREE_INODES,
  }
}

/** Lists what could be evicted, with one look at each blob and none into trees. Downloads that run are left out. */
export async function surveyContent(store: Store): Promise<readonly Item[]> {
  // One after the other: each keeps the threads for file operations busy, and others need them, too.
  const trees = await store.trees.survey()
  const views = await store.views.survey()
  const blobs = await store.blobs.survey()
  const downloads = await surveyIngest(store)
  return [
    ...trees.map(
      ({ key, usedMs, facts }): Item => ({
        ...{ kind: 'tree', key, usedMs },
        ...ownSize(facts),
        uses: facts.blobs,
      }),
    ),
    ...views.map(
      ({ key, usedMs, facts }): Item => ({
        ...{ kind: 'view', key, usedMs },
        ...ownSize(facts),
        uses: facts.trees,
      }),
    ),
    ...blobs.map(
      ({ digest, usedMs, bytes, isLinked }): Item => ({
        ...{ kind: 'blob', key: digest, usedMs, bytes, isLinked },
        ...{ inodes: BLOB_INODES, uses: [] },
      }),
    ),
    ...downloads,
  ]
}

/** Downloads that an earlier process or try has begun. */
async function surveyIngest({ ingestDirectory, holds }: Store): Promise<readonly Item[]> {
  const items: Item[] = []
  for (const name of await readdir(ingestDirectory)) {
    const digest = ingestDigest(name)
    if (digest === undefined || holds.has(digest)) continue
    try {
      const { blocks, mtimeMs } = await lstat(join(ingestDirectory, name))
      // With holes, where its parts are downloaded side by side.
      const size = { bytes: blocks * 512, inodes: 1 }
      items.push({ kind: 'ingest', key: name, usedMs: mtimeMs, ...size, uses: [] })
    } catch (error) {
      if (!isSystemError(error, 'ENOENT')) throw error
    }
  }
  return items
}

/** Moves something to the trash unless it is needed. Answers whether it is gone. */
export async function evictItem(store: Store, { kind, key }: Item): Promise<boolean> {
  switch (kind) {
    case 'tree':
      return store.trees.evict(key)
    case 'view':
      return store.views.evict(key)
    case 'blob':
      return isDigest(key) && store.blobs.evict(key)
    case 'ingest':
      return evictIngest(store, key)
  }
}

/** In one turn of the event loop: whoever goes on with a download has said so before he opens the file. */
async function evictIngest({ ingestDirectory, holds, trash }: Store, name: string) {
  const digest = ingestDigest(name)
  if (digest === undefined || holds.has(digest)) return false
  const path = join(ingestDirectory, name)
  const moved = join(ingestDirectory, `.evicted-${name}`)
  try {
    renameSync(path, moved)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return false
    throw error
  }
  rmSync(ingestRecordPath(path), { force: true })
  await trash.take(moved)
  return true
}

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestOf } from '../../../../common/oci/digest.ts'
import {
  createEvictor,
  type EvictionLimits,
  type Evictor,
  type OnEvicted,
} from '../../../../driver/store/eviction/evictor.ts'
import type { Lease } from '../../../../driver/store/leases.ts'
import type { Store } from '../../../../driver/store/store.ts'
import { silentLog } from '../open-test-store.ts'

/** Where everything in these tests comes from. */
export const ORIGIN = 'ghcr.io/acme/app'

/** A key of the length that keys have, made of a short word. */
export function keyOf(word: string): string {
  return digestOf(word).slice('sha256:'.length)
}

/** Commits a blob of so many bytes, and gives its digest. */
export async function addBlob(store: Store, word: string, bytes = 10): Promise<Digest> {
  const content = word.padEnd(bytes, '.')
  const digest = digestOf(content)
  if (await store.blobs.has(digest, ORIGIN)) return digest
  const path = join(store.ingestDirectory, `${keyOf(word)}.part`)
  await writeFile(path, content)
  await store.blobs.commit(path, digest, ORIGIN)
  return digest
}

/** Commits a tree with one file that says which it is, of so many bytes, and gives its key. */
export async function addTree(store: Store, word: string, bytes = 10): Promise<string> {
  const staging = await store.makeStaging()
  await mkdir(join(staging, 'root'))
  await writeFile(join(staging, 'root', 'file'), word.padEnd(bytes, '.'))
  await store.trees.commit(keyOf(word), staging, {
    ...{ manifest: digestOf(word), origins: [ORIGIN], blobs: [], bytes, inodes: 1 },
  })
  return keyOf(word)
}

/** Answers which word a tree is of, as a pod would see it; undefined when it is not there. */
export async function wordOf(store: Store, key: string): Promise<string | undefined> {
  const tree = await store.trees.get(key)
  return tree && (await readFile(join(tree.root, 'file'), 'utf8')).replace(/\.+$/, '')
}

export function lease(volumeId: string, trees: readonly string[], views: readonly string[] = []) {
  return {
    ...{ volumeId, trees, views, target: `/pods/${volumeId}`, requestHash: 'hash' },
    pod: { namespace: 'default', name: volumeId, uid: `uid-${volumeId}` },
    ...{ sources: [], mounted: true, bootId: 'boot-1' },
  } satisfies Lease
}

/** An evictor that counts every moment as long ago, unless it is told otherwise. */
export function testEvictor(
  store: Store,
  limits: Partial<EvictionLimits> = {},
  options: { readonly mounted?: () => ReadonlySet<string>; readonly onEvicted?: OnEvicted } = {},
): Evictor {
  return createEvictor({
    store,
    limits: {
      ...{ high: 1, low: 0.99, keepBytes: 0, minAgeMs: 0, minFreeBytes: 0, minFreeInodes: 0 },
      ...limits,
    },
    log: silentLog(),
    signal: new AbortController().signal,
    mountedKeys: options.mounted ?? (() => new Set()),
    ...(options.onEvicted !== undefined && { onEvicted: options.onEvicted }),
  })
}

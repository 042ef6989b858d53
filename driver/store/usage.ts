import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isSystemError } from '../../common/errors.ts'
import { BLOB_INODES, ownSize } from './eviction/content-survey.ts'
import { addSizes } from './eviction/room.ts'
import type { Store } from './store.ts'
import type { Size } from './trash.ts'

/** What the kinds of things in a store take. */
export const USAGE_KINDS = ['trees', 'views', 'blobs', 'ingest', 'trash', 'manifests'] as const

export type UsageKind = (typeof USAGE_KINDS)[number]

/** Without what it shares: the files of a view are its trees', and a file that is a blob counts as a blob. */
export type Usage = Readonly<Record<UsageKind, Size>>

/** Counts what a store takes, by records and listings: no tree is walked through. */
export interface UsageReader {
  /** Trees, views and blobs as they are known, which is everything once the driver has looked at the store after its start. */
  read(): Promise<Usage>
}

/** Manifests are many small files, and their sum changes slowly. */
const MANIFESTS_AGE_MS = 60_000

export function createUsageReader({
  store,
  now = Date.now,
}: {
  readonly store: Store
  readonly now?: () => number
}): UsageReader {
  let manifests = { size: NOTHING, readMs: Number.NEGATIVE_INFINITY }
  return {
    async read() {
      if (now() - manifests.readMs > MANIFESTS_AGE_MS) {
        const size = await sizeOfFiles(join(store.directory, 'manifests'), 2)
        manifests = { size, readMs: now() }
      }
      const known = (store: Store['trees'] | Store['views']) =>
        [...store.known.values()].map(({ facts }) => ownSize(facts))
      return {
        trees: sumOf(known(store.trees)),
        views: sumOf(known(store.views)),
        blobs: sumOf(
          [...store.blobs.known.values()].map(({ bytes }) => ({ bytes, inodes: BLOB_INODES })),
        ),
        ingest: await sizeOfFiles(store.ingestDirectory, 0),
        trash: await store.trash.usage(),
        manifests: manifests.size,
      }
    },
  }
}

const NOTHING: Size = { bytes: 0, inodes: 0 }

function sumOf(sizes: readonly Size[]): Size {
  return sizes.reduce(addSizes, NOTHING)
}

/** Of the files so many directories down, as much as they have on the disk: a download may have holes. */
async function sizeOfFiles(directory: string, depth: number): Promise<Size> {
  const sizes: Size[] = []
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    if (depth > 0) {
      sizes.push(await sizeOfFiles(path, depth - 1))
      continue
    }
    try {
      sizes.push({ bytes: (await lstat(path)).blocks * 512, inodes: 1 })
    } catch (error) {
      // Some come and go.
      if (!isSystemError(error, 'ENOENT')) throw error
    }
  }
  return sumOf(sizes)
}

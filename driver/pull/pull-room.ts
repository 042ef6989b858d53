import type { Digest } from '../../common/oci/digest.ts'
import type { Origin } from '../store/blobs.ts'
import type { RoomRequest } from '../store/eviction/evictor.ts'
import { ingestPath } from '../store/ingest-files.ts'
import type { Store } from '../store/store.ts'
import { bytesOnDisk } from './download/download-space.ts'
import type { Plan } from './layout/layout.ts'

/** What an archive decompresses to for each of its bytes, where it is not known: programs and text are compressed to a third. */
const EXPANSION = 3
/** Of archives, for each entry: source trees have smaller files, models far larger ones. */
const BYTES_PER_ENTRY = 16 * 1024
/** The blob and its record; a tree with its root and its record. */
const BLOB_INODES = 2
const TREE_INODES = 3

/** What a pull will write, as far as the manifest tells. */
export interface PullRoom extends Pick<RoomRequest, 'certain' | 'estimated'> {
  /** Of the blobs that are not here, or not from this origin, what is still to be downloaded. */
  readonly downloadBytes: number
}

/** Finds out what a pull will write: what is missing of its blobs, and what comes out of its archives, which weigh no less than they do. */
export async function roomOfPull(
  plan: Pick<Plan, 'blobs' | 'steps'>,
  {
    store,
    origin,
    isBuilt,
  }: {
    readonly store: Pick<Store, 'blobs' | 'ingestDirectory'>
    readonly origin: Origin
    /** The tree is here: only its blobs are to be proved. */
    readonly isBuilt: boolean
  },
): Promise<PullRoom> {
  let downloadBytes = 0
  let missing = 0
  for (const { digest, size } of plan.blobs) {
    if (await store.blobs.has(digest, origin, size)) continue
    missing += 1
    downloadBytes += Math.max(0, size - (await begun(store.ingestDirectory, digest, origin)))
  }
  const archives = isBuilt ? [] : plan.steps.filter(({ kind }) => kind === 'unpack')
  const archiveBytes = archives.reduce((sum, { blob }) => sum + blob.size, 0)
  const names = isBuilt ? 0 : plan.steps.length + TREE_INODES
  return {
    downloadBytes,
    certain: { bytes: downloadBytes + archiveBytes, inodes: missing * BLOB_INODES + names },
    estimated: {
      bytes: archiveBytes * (EXPANSION - 1),
      inodes: Math.ceil(archiveBytes / BYTES_PER_ENTRY),
    },
  }
}

function begun(directory: string, digest: Digest, origin: Origin): Promise<number> {
  return bytesOnDisk(ingestPath(directory, digest, origin))
}

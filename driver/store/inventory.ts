import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import pLimit from 'p-limit'
import { isCodedError, isSystemError } from '../../common/errors.ts'
import type { Digest } from '../../common/oci/digest.ts'
import { parseManifest } from '../../common/oci/manifest.ts'
import { listTags } from './access.ts'
import { type BlobRecord, blobPath, listBlobs, parseBlobRecord } from './blobs.ts'
import { type CommitMark, parseMarked } from './committed.ts'
import { createLeaseStore, type Lease } from './leases.ts'
import { createManifestStore } from './manifests.ts'
import type { RecordReader } from './record.ts'
import { readSmallFile } from './small-file.ts'
import { findStoreSite } from './store-format.ts'
import { parseTreeFacts, type TreeFacts } from './trees.ts'
import { parseViewFacts, type ViewFacts } from './views.ts'

/** A tree or view as its record says. */
export interface StoredDirectory<Facts> {
  readonly key: string
  /** The directory that volumes show. */
  readonly root: string
  readonly meta: Facts & CommitMark
  /** When a volume last stopped using it, or it was made; milliseconds since the epoch. */
  readonly usedMs: number
}

export interface StoredBlob {
  readonly digest: Digest
  readonly path: string
  readonly record: BlobRecord
  readonly bytes: number
  /** Milliseconds since the epoch. */
  readonly usedMs: number
}

/** What lies in a store. */
export interface Inventory {
  readonly directory: string
  readonly trees: readonly StoredDirectory<TreeFacts>[]
  readonly views: readonly StoredDirectory<ViewFacts>[]
  readonly blobs: readonly StoredBlob[]
  readonly leases: readonly Lease[]
  /** What drivers of other formats have written. */
  readonly otherLeases: readonly Lease[]
  /** Records that cannot be read: what they belong to is made again when it is asked for. */
  readonly unreadable: readonly string[]
  /** By manifest: the references that tags were last resolved for. */
  readonly references: ReadonlyMap<string, readonly string[]>
}

/** How many files are read at once: four threads do it. */
const WIDTH = 16

/**
 * Reads what lies in a store without opening it: nothing is locked, swept or changed, and a driver may be at work on it meanwhile. What
 * comes or goes while it is read is listed or not.
 *
 * @param base the directory that the driver is told to keep its store in
 */
export async function readInventory(base: string): Promise<Inventory> {
  const { directory, others } = await findStoreSite(base)
  const turns = pLimit(WIDTH)
  const unreadable: string[] = []

  const readDirectories = async <Facts extends object>(
    kind: 'trees' | 'views',
    parse: (record: RecordReader) => Facts,
  ): Promise<readonly StoredDirectory<Facts>[]> => {
    const read = async (key: string): Promise<readonly StoredDirectory<Facts>[]> => {
      const path = join(directory, kind, key)
      const meta = await readSmallFile(join(path, 'meta.json'), (value) =>
        parseMarked(value, parse),
      )
      const found = await statIfThere(path)
      if (meta.state === 'broken') unreadable.push(join(kind, key, 'meta.json'))
      if (meta.state !== 'ok' || found === undefined) return []
      return [{ key, root: join(path, 'root'), meta: meta.value, usedMs: found.mtimeMs }]
    }
    const keys = (await namesIn(join(directory, kind))).filter((key) => /^[0-9a-f]{64}$/.test(key))
    return (await Promise.all(keys.map((key) => turns(read, key)))).flat()
  }

  const readBlob = async (digest: Digest): Promise<readonly StoredBlob[]> => {
    const path = blobPath(join(directory, 'blobs'), digest)
    const record = await readSmallFile(`${path}.json`, parseBlobRecord)
    const [file, noted] = [await statIfThere(path), await statIfThere(`${path}.json`)]
    if (record.state === 'broken') unreadable.push(`blob ${digest}`)
    if (record.state !== 'ok' || file === undefined) return []
    const usedMs = noted?.mtimeMs ?? file.mtimeMs
    return [{ digest, path, record: record.value, bytes: file.size, usedMs }]
  }

  const trees = await readDirectories('trees', parseTreeFacts)
  const views = await readDirectories('views', parseViewFacts)
  const listed = await listBlobs(join(directory, 'blobs'))
  const blobs = await Promise.all([...listed].map((digest) => turns(readBlob, digest)))
  const own = await createLeaseStore(join(directory, 'volumes')).list()
  unreadable.push(...own.broken.map((name) => join('volumes', name)))
  const foreign = await Promise.all(
    others.map((other) => createLeaseStore(join(other, 'volumes')).list()),
  )
  return {
    ...{ directory, trees, views, unreadable },
    blobs: blobs.flat(),
    leases: own.leases,
    otherLeases: foreign.flatMap(({ leases }) => leases),
    references: await readReferences(directory),
  }
}

/** A tag may mean an index: then it stands for each of its manifests. */
async function readReferences(directory: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const manifests = createManifestStore(join(directory, 'manifests'))
  const childrenOf = async (digest: Digest): Promise<readonly string[]> => {
    const bytes = await manifests.get(digest)
    if (bytes === undefined) return []
    try {
      const parsed = parseManifest(bytes)
      return parsed.kind === 'index' ? parsed.manifests.map((child) => child.digest) : []
    } catch (error) {
      // Larger than this command reads; its tags are named by none of its manifests.
      if (isCodedError(error)) return []
      throw error
    }
  }

  const references = new Map<string, Set<string>>()
  const known = new Map<Digest, readonly string[]>()
  for await (const { name, digests } of listTags(join(directory, 'refs'))) {
    for (const digest of digests) {
      const children = known.get(digest) ?? (await childrenOf(digest))
      known.set(digest, children)
      for (const one of [digest, ...children]) {
        references.set(one, (references.get(one) ?? new Set()).add(name))
      }
    }
  }
  return new Map([...references].map(([digest, names]) => [digest, [...names].sort()]))
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return []
    throw error
  }
}

async function statIfThere(path: string) {
  try {
    return await stat(path)
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
}

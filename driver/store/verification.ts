import { createHash } from 'node:crypto'
import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isSystemError } from '../../common/errors.ts'
import { digestAlgorithm } from '../../common/oci/digest.ts'
import { close, listDirectory, openDirectory, openDirectoryAt, statAt } from '../linux/directory.ts'
import type { StoredBlob, StoredDirectory } from './inventory.ts'

/** Keeps work from taking more of the disk than it may. */
export interface Pace {
  /** Notes that so much was read; resolves when more may be. @throws the signal's reason */
  spend(bytes: number): Promise<void>
}

/** Shorter rests are not worth a timer. */
const MIN_REST_MS = 20

export function createPace(bytesPerSecond: number, signal: AbortSignal): Pace {
  const started = performance.now()
  let spent = 0
  return {
    async spend(bytes) {
      signal.throwIfAborted()
      spent += bytes
      const restMs = (spent / bytesPerSecond) * 1_000 - (performance.now() - started)
      if (restMs > MIN_REST_MS) await delay(restMs, undefined, { signal })
    },
  }
}

/** Large enough that the disk reads in one go, and nothing to the process. */
const CHUNK_BYTES = 1024 * 1024

/**
 * Reads a blob whole and compares it with its digest.
 *
 * @returns what is wrong; undefined when nothing is, or when the blob has gone meanwhile
 */
export async function blobFault(blob: StoredBlob, pace: Pace): Promise<string | undefined> {
  const algorithm = digestAlgorithm(blob.digest)
  const hash = createHash(algorithm)
  try {
    await using file = await open(blob.path)
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES)
      if (bytesRead === 0) break
      hash.update(chunk.subarray(0, bytesRead))
      await pace.spend(bytesRead)
    }
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    if (isSystemError(error, 'EIO', 'EUCLEAN')) return `it cannot be read (${error.code})`
    throw error
  }
  const found = `${algorithm}:${hash.digest('hex')}`
  return found === blob.digest ? undefined : `its bytes hash to ${found}`
}

/** The inode of a file, whoever links it; undefined when it is gone. */
export async function inodeOf(path: string): Promise<bigint | undefined> {
  try {
    return (await stat(path, { bigint: true })).ino
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  }
}

/** What looking at one entry costs of a {@link Pace}: a metadata block, more or less. */
const ENTRY_COST_BYTES = 4096
/** Between two turns of the event loop. */
const SLICE = 256

/**
 * Walks through a tree or view and compares it with its record: how many entries, how many bytes, and that no file is a damaged blob. What was unpacked
 * from an archive has no digest of its own, so that of it only this is compared.
 *
 * @param options.damaged inodes, by what they are
 * @returns what is wrong; undefined when nothing is, or when it has gone meanwhile
 */
export async function directoryFault(
  { root, meta }: StoredDirectory<{ readonly bytes: number; readonly inodes: number }>,
  { damaged, pace }: { readonly damaged: ReadonlyMap<bigint, string>; readonly pace: Pace },
): Promise<string | undefined> {
  let bytes = 0
  let inodes = 0
  try {
    for (const { path, size, inode } of entriesBelow(root)) {
      const blob = damaged.get(inode)
      if (blob !== undefined) return `"${path}" is the damaged blob ${blob}`
      bytes += size
      inodes += 1
      if (inodes % SLICE === 0) await pace.spend(SLICE * ENTRY_COST_BYTES)
    }
  } catch (error) {
    if (!isSystemError(error, 'EIO', 'EUCLEAN', 'ENOENT')) throw error
    // Taken away meanwhile, or without the root that its record tells of.
    if (error.code === 'ENOENT') {
      return (await inodeOf(join(root, '../meta.json'))) === undefined
        ? undefined
        : 'its root is gone'
    }
    return `it cannot be read (${error.code})`
  }
  if (inodes !== meta.inodes) return `it has ${inodes} entries; expected ${meta.inodes}`
  if (bytes !== meta.bytes) return `its files have ${bytes} bytes; expected ${meta.bytes}`
  return undefined
}

interface Entry {
  /** Relative to the root. */
  readonly path: string
  /** Of a regular file; else 0. */
  readonly size: number
  readonly inode: bigint
}

/** By descriptors: a tree's paths are as long as a path may be, and here they would begin with the store's. */
function* entriesBelow(root: string): Generator<Entry, void> {
  const top = openDirectory(root)
  try {
    yield* entriesOf(top, '')
  } finally {
    close(top)
  }
}

function* entriesOf(directory: number, prefix: string): Generator<Entry, void> {
  for (const { name } of listDirectory(directory)) {
    const found = statAt(directory, name)
    if (found === undefined) continue
    const path = `${prefix}${name.toString()}`
    yield { path, size: found.isFile() ? Number(found.size) : 0, inode: found.ino }
    if (!found.isDirectory()) continue
    const fd = openDirectoryAt(directory, name)
    try {
      yield* entriesOf(fd, `${path}/`)
    } finally {
      close(fd)
    }
  }
}

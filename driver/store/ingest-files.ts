import { createHash } from 'node:crypto'
import { lstat, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isSystemError } from '../../common/errors.ts'
import { type Digest, digestAlgorithm, digestHex, isDigest } from '../../common/oci/digest.ts'
import type { Origin } from './blobs.ts'

/**
 * Where a blob is downloaded to. One file for each digest and origin: a download is never joined by who has not proved access at the
 * same place.
 */
export function ingestPath(directory: string, digest: Digest, origin: Origin): string {
  const from = createHash('sha256').update(origin).digest('hex').slice(0, 16)
  return join(directory, `${digestAlgorithm(digest)}-${digestHex(digest)}.${from}.part`)
}

/** The digest that an ingest file is named by; undefined for any other file. */
export function ingestDigest(name: string): Digest | undefined {
  const match = /^([a-z0-9]+)-([0-9a-f]+)\.[0-9a-f]{16}\.part$/.exec(name)
  const digest = `${match?.[1]}:${match?.[2]}`
  return isDigest(digest) ? digest : undefined
}

const RECORD_SUFFIX = '.ranges'

/**
 * What is known of an ingest file whose bytes are not simply its beginning: which parts are there. Lies beside it, and is written
 * before the first byte behind a gap; where there is none, the file is complete up to its size.
 */
export function ingestRecordPath(path: string): string {
  return path + RECORD_SUFFIX
}

/** Removes a download that is not needed any more, and what is known of it. */
export async function removeIngest(path: string): Promise<void> {
  await rm(path, { force: true })
  await rm(ingestRecordPath(path), { force: true })
}

const MAX_AGE_MS = 24 * 60 * 60 * 1_000

/** Removes downloads that nobody has touched for a day, and what was known of those that are gone. */
export async function sweepIngest(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    const file = path.endsWith(RECORD_SUFFIX) ? path.slice(0, -RECORD_SUFFIX.length) : path
    const ageMs = Date.now() - (await modifiedMs(file))
    if (ageMs > MAX_AGE_MS) await rm(path, { force: true })
  }
}

async function modifiedMs(path: string): Promise<number> {
  try {
    return (await lstat(path)).mtimeMs
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return Number.NEGATIVE_INFINITY
    throw error
  }
}

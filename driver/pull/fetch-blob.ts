import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { CodedError, isCodedError, isSystemError } from '../../common/errors.ts'
import type { ArtifactSource } from '../../common/oci/artifact-source.ts'
import type { Keyring } from '../../common/oci/credentials.ts'
import type { Descriptor } from '../../common/oci/descriptor.ts'
import { digestAlgorithm, digestHex, finishDigest } from '../../common/oci/digest.ts'
import { formatReference, type Reference } from '../../common/oci/reference.ts'
import type { BlobStore, Origin } from '../store/blobs.ts'

/** How often a broken connection is taken up again without a single byte gained in between. */
const MAX_FRUITLESS = 4
/** Before the first of those; doubled for each further one. */
const RETRY_BASE_MS = 200
/** Read in pieces of this size when an earlier download is hashed again, so that each holds the event loop for milliseconds. */
const REHASH_CHUNK_BYTES = 1024 * 1024

/** What is downloaded, and where to. */
export interface BlobFetch {
  readonly source: ArtifactSource
  readonly reference: Reference
  readonly descriptor: Descriptor
  readonly keyring: Keyring
  readonly blobs: BlobStore
  readonly ingestDirectory: string
  readonly origin: Origin
  readonly signal: AbortSignal
  /** Told the bytes that are on disk, whenever that changes. */
  readonly onProgress: (bytes: number) => void
}

/**
 * Downloads a blob into the ingest directory, going on where an earlier try or process ended, verifies it, and commits it.
 *
 * What was downloaded stays for the next try, unless it is known to be wrong: then it is deleted.
 *
 * @throws CORRUPT when the whole does not match the descriptor; else as {@link ArtifactSource}
 */
export async function fetchBlob(fetch: BlobFetch): Promise<void> {
  const { descriptor, blobs, origin, signal } = fetch
  signal.throwIfAborted()
  const path = ingestPath(fetch)
  const whole = await download(fetch, path, 'resume')
  // A wrong beginning that an earlier process left must not fail the pull for ever: once more from the start.
  if (!whole) await download(fetch, path, 'afresh')
  signal.throwIfAborted()
  await blobs.commit(path, descriptor.digest, origin)
}

/** @returns false when bytes of an earlier try were part of a whole that turned out wrong, and are deleted */
async function download(
  fetch: BlobFetch,
  path: string,
  mode: 'resume' | 'afresh',
): Promise<boolean> {
  const { descriptor, signal } = fetch
  await using file = await open(
    path,
    constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW,
    0o600,
  )
  const algorithm = digestAlgorithm(descriptor.digest)
  let hash = createHash(algorithm)
  let offset = 0
  let farthest = 0
  const restart = async () => {
    await file.truncate(0)
    hash = createHash(algorithm)
    offset = 0
  }
  const { size } = await file.stat()
  if (mode === 'afresh' || size > descriptor.size) await restart()
  else {
    for await (const chunk of readPieces(file, size)) {
      signal.throwIfAborted()
      hash.update(chunk)
      offset += chunk.length
    }
  }
  const resumed = offset > 0
  fetch.onProgress(offset)

  for (let fruitless = 0; offset < descriptor.size || descriptor.size === 0; ) {
    try {
      const stream = fetch.source.blob(fetch.reference, descriptor, {
        signal,
        keyring: fetch.keyring,
        offset,
      })
      for await (const chunk of stream) {
        await writeAll(file, chunk, offset)
        hash.update(chunk)
        offset += chunk.length
        fetch.onProgress(offset)
      }
      break
    } catch (error) {
      signal.throwIfAborted()
      if (isCodedError(error, 'INVALID') && offset > 0) {
        // This server cannot start in the middle.
        await restart()
        continue
      }
      if (isCodedError(error, 'CORRUPT')) {
        await rm(path, { force: true })
        if (resumed) return false
        throw error
      }
      // What filled the disk must not go on filling it: the kubelet would evict pods.
      if (isSystemError(error, 'ENOSPC', 'EDQUOT')) await rm(path, { force: true })
      if (!isCodedError(error, 'UNAVAILABLE')) throw error
      // Compared with the farthest ever: a server that starts over each time gains nothing.
      fruitless = offset > farthest ? 0 : fruitless + 1
      farthest = Math.max(farthest, offset)
      if (fruitless > MAX_FRUITLESS) throw error
      await delay(RETRY_BASE_MS * 2 ** fruitless, undefined, { signal })
    }
  }

  const actual = finishDigest(algorithm, hash)
  if (actual === descriptor.digest) return true
  await rm(path, { force: true })
  if (resumed) return false
  throw new CodedError(
    'CORRUPT',
    `Cannot pull "${formatReference(fetch.reference)}": blob ${descriptor.digest} hashes to ${actual}; nothing of it was used`,
  )
}

/** One file for each digest and origin: a download is never joined by who has not proved access at the same place. */
function ingestPath({ descriptor, origin, ingestDirectory }: BlobFetch): string {
  const from = createHash('sha256').update(origin).digest('hex').slice(0, 16)
  const algorithm = digestAlgorithm(descriptor.digest)
  return join(ingestDirectory, `${algorithm}-${digestHex(descriptor.digest)}.${from}.part`)
}

async function* readPieces(file: FileHandle, size: number): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.alloc(REHASH_CHUNK_BYTES)
  for (let position = 0; position < size; ) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position)
    if (bytesRead === 0) return
    position += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

async function writeAll(file: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < chunk.length; ) {
    const { bytesWritten } = await file.write(
      chunk,
      written,
      chunk.length - written,
      position + written,
    )
    written += bytesWritten
  }
}

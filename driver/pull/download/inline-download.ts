import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, readFile, rm, truncate } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { CodedError, isCodedError, isSystemError } from '../../../common/errors.ts'
import type { ArtifactSource } from '../../../common/oci/artifact-source.ts'
import type { BlobRoute } from '../../../common/oci/blob-route.ts'
import type { Keyring } from '../../../common/oci/credentials.ts'
import type { Descriptor } from '../../../common/oci/descriptor.ts'
import { digestAlgorithm, finishDigest } from '../../../common/oci/digest.ts'
import { formatReference, type Reference } from '../../../common/oci/reference.ts'
import { ingestRecordPath } from '../../store/ingest-files.ts'
import { reachStage } from '../stages.ts'
import { advanceWatermark } from '../watermark.ts'
import { setBytes } from './byte-counter.ts'
import { createByteRanges } from './byte-ranges.ts'
import { parseIngestRecord } from './ingest-record.ts'
import type { RunningDownload } from './running-download.ts'

/** How often a broken connection is taken up again without a single byte gained in between. */
const MAX_FRUITLESS = 4
/** Before the first of those; doubled for each further one. */
const RETRY_BASE_MS = 200
/** Read in pieces of this size when an earlier download is hashed again, so that each holds the event loop for milliseconds. */
const REHASH_CHUNK_BYTES = 1024 * 1024

/** What is downloaded, and where to. */
export interface InlineDownload {
  readonly source: ArtifactSource
  readonly reference: Reference
  readonly descriptor: Descriptor
  readonly keyring: Keyring
  readonly signal: AbortSignal
  readonly download: RunningDownload
  /** Where the bytes come from; absent: as the source likes. */
  readonly route?: BlobRoute
}

/**
 * Downloads a blob on the main thread: for small ones, where a thread would only cost time.
 *
 * Bytes that are on disk are never written again, since a follower may have read them: a server that cannot start in the middle is
 * asked for everything, and the beginning is passed over.
 *
 * @returns false when bytes of an earlier try were part of a whole that turned out wrong, and are deleted
 * @throws CORRUPT when the whole does not match the descriptor; else as {@link ArtifactSource}
 */
export async function downloadInline(options: InlineDownload): Promise<boolean> {
  const { descriptor, signal, download } = options
  const { path, watermark, received } = download
  await forgetParts(path, descriptor.size)
  await using file = await open(
    path,
    constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW,
    0o600,
  )
  reachStage('ingest-opened')
  const algorithm = digestAlgorithm(descriptor.digest)
  const hash = createHash(algorithm)
  let position = 0
  const advance = (bytes: number) => {
    position += bytes
    setBytes(received, position)
    advanceWatermark(watermark, position)
  }
  const { size } = await file.stat()
  if (size > descriptor.size) await file.truncate(0)
  else {
    for await (const chunk of readPieces(file, size)) {
      signal.throwIfAborted()
      hash.update(chunk)
      advance(chunk.length)
    }
  }
  const resumed = position > 0
  if (resumed) reachStage('ingest-resumed')

  let written = false
  let whole = false
  for (let fruitless = 0; position < descriptor.size || descriptor.size === 0; ) {
    const before = position
    try {
      let at = whole ? 0 : position
      const stream = options.source.blob(options.reference, descriptor, {
        signal,
        keyring: options.keyring,
        offset: at,
        route: options.route,
      })
      for await (const chunk of stream) {
        const fresh = chunk.subarray(Math.min(chunk.length, position - at))
        at += chunk.length
        if (fresh.length === 0) continue
        await writeAll(file, fresh, position)
        hash.update(fresh)
        if (!written) reachStage('bytes-written')
        written = true
        advance(fresh.length)
      }
      break
    } catch (error) {
      signal.throwIfAborted()
      if (isCodedError(error, 'INVALID') && position > 0 && !whole) {
        // This server cannot start in the middle.
        whole = true
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
      // A server that starts over each time gains nothing.
      fruitless = position > before ? 0 : fruitless + 1
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
    `Cannot pull "${formatReference(options.reference)}": blob ${descriptor.digest} hashes to ${actual}; nothing of it was used`,
  )
}

/** Cuts off what a thread wrote behind a gap, so that the file is what its size says. */
async function forgetParts(path: string, size: number): Promise<void> {
  const recordPath = ingestRecordPath(path)
  try {
    const parts = parseIngestRecord(await readFile(recordPath), size)
    await truncate(path, createByteRanges(parts).prefix)
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error
  }
  // The file first: without the record, its size counts.
  await rm(recordPath, { force: true })
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

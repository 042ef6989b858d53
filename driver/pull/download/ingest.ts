import { createHash } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { isSystemError } from '../../../common/errors.ts'
import { type Digest, digestAlgorithm, finishDigest } from '../../../common/oci/digest.ts'
import { ingestRecordPath } from '../../store/ingest-files.ts'
import { reachStage } from '../stages.ts'
import { advanceWatermark, type Watermark } from '../watermark.ts'
import { type ByteCounter, setBytes } from './byte-counter.ts'
import { type ByteRange, type ByteRanges, createByteRanges } from './byte-ranges.ts'
import { formatIngestRecord, parseIngestRecord } from './ingest-record.ts'

/** What an ingest file is to become, and who is told how far it is. */
export interface IngestOptions {
  readonly path: string
  readonly size: number
  readonly digest: Digest
  readonly watermark: Watermark
  readonly received: ByteCounter
}

/**
 * An ingest file as a download thread writes it: parts in any order, hashed in order. Survives the process: the next one goes on with
 * what is there. Every call blocks. The disposal closes the file and leaves what it has.
 */
export interface Ingest extends Disposable {
  /** What is on disk. */
  readonly parts: Pick<ByteRanges, 'ranges' | 'prefix' | 'total' | 'missing'>
  /** Bytes of an earlier try are among them. */
  readonly resumed: boolean
  /**
   * Writes bytes at an offset. What is there already is not written again: a follower may have read it.
   *
   * @returns how many were new
   */
  write(bytes: Uint8Array, offset: number): number
  /** Bytes are there that were not hashed as they came. */
  readonly behind: boolean
  /** Hashes a piece of those. */
  catchUp(): void
  /** Everything is there and hashed. */
  readonly hashed: boolean
  /** The digest of everything, once it is hashed. */
  finish(): Digest
  /** Takes away what another process need not know when everything is there. */
  removeRecord(): void
  /** Deletes everything. */
  remove(): void
}

/** Hashing a piece of this takes 0.5 to 4 ms: sockets are served in between. */
const PIECE_BYTES = 1024 * 1024
/** What a killed process may forget of each part that is being written. */
const NOTE_BYTES = 1024 * 1024

/** Opens the ingest file, with what an earlier try left in it. @throws the error of the file system */
export function openIngest(options: IngestOptions): Ingest {
  const { path, size, digest, watermark, received } = options
  const recordPath = ingestRecordPath(path)
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
  let recordFd: number | undefined
  try {
    reachStage('ingest-opened')
    const parts = createByteRanges(readParts(fd, recordPath, size))
    const algorithm = digestAlgorithm(digest)
    const hash = createHash(algorithm)
    const resumed = parts.total > 0
    /** A record that is there is brought up to date; none is made before it is needed. */
    let recorded = parts.total > parts.prefix
    let unrecordedBytes = 0
    let written = false
    let hashedBytes = 0
    let announcedPrefix = 0
    let piece: Buffer | undefined

    const publish = () => {
      setBytes(received, parts.total)
      if (parts.prefix === announcedPrefix) return
      announcedPrefix = parts.prefix
      advanceWatermark(watermark, announcedPrefix)
    }
    const record = () => {
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW
      recordFd ??= openSync(recordPath, flags, 0o600)
      writeAll(recordFd, formatIngestRecord(size, parts.ranges), 0)
      recorded = true
      unrecordedBytes = 0
    }
    const writeNew = (bytes: Uint8Array, offset: number) => {
      // Before the first byte behind a gap: from then on the file's size says nothing.
      if (!recorded && offset > parts.prefix) record()
      writeAll(fd, bytes, offset)
      if (!written) reachStage('bytes-written')
      written = true
      parts.add(offset, offset + bytes.length)
      if (offset === hashedBytes) {
        hash.update(bytes)
        hashedBytes += bytes.length
      }
      unrecordedBytes += bytes.length
      if (recorded && unrecordedBytes >= Math.min(NOTE_BYTES, size / 64)) record()
    }
    if (resumed) reachStage('ingest-resumed')
    publish()

    return {
      parts,
      resumed,
      write(bytes, offset) {
        let fresh = 0
        for (const { start, end } of parts.missing(offset, offset + bytes.length)) {
          writeNew(bytes.subarray(start - offset, end - offset), start)
          fresh += end - start
        }
        publish()
        return fresh
      },
      get behind() {
        return hashedBytes < parts.prefix
      },
      catchUp() {
        const length = Math.min(PIECE_BYTES, parts.prefix - hashedBytes)
        piece ??= Buffer.allocUnsafeSlow(PIECE_BYTES)
        const read = readSync(fd, piece, 0, length, hashedBytes)
        // Somebody else has cut the file: the digest would be wrong, and waiting for ever worse.
        if (read === 0) throw new Error('The ingest file is shorter than what was written to it')
        hash.update(piece.subarray(0, read))
        hashedBytes += read
        if (hashedBytes === parts.prefix) piece = undefined
      },
      get hashed() {
        return hashedBytes === size
      },
      finish: () => finishDigest(algorithm, hash),
      removeRecord() {
        rmSync(recordPath, { force: true })
        recorded = false
      },
      remove() {
        rmSync(path, { force: true })
        rmSync(recordPath, { force: true })
        recorded = false
      },
      [Symbol.dispose]() {
        try {
          if (recorded && unrecordedBytes > 0) record()
        } catch {
          // The older record is true as well: less is remembered.
        } finally {
          if (recordFd !== undefined) closeSync(recordFd)
          closeSync(fd)
        }
      },
    }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/** What an earlier try left: by its record, or the whole file where there is none; nothing when the two do not fit. */
function readParts(fd: number, recordPath: string, size: number): readonly ByteRange[] {
  const { size: fileSize } = fstatSync(fd)
  const record = readRecord(recordPath)
  const parts =
    record === undefined ? [{ start: 0, end: fileSize }] : parseIngestRecord(record, size)
  if (parts?.every(({ end }) => end <= Math.min(fileSize, size))) return parts
  // The file first: without the record, its size would count.
  ftruncateSync(fd, 0)
  rmSync(recordPath, { force: true })
  return []
}

function readRecord(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  }
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let written = 0; written < bytes.length; ) {
    written += writeSync(fd, bytes, written, bytes.length - written, position + written)
  }
}

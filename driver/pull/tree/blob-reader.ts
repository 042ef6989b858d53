import { fstatSync, readSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { CodedError, isSystemError } from '../../../common/errors.ts'
import { close, openFile } from '../../linux/directory.ts'
import { CHUNKS_IN_USE } from '../tar/decompress.ts'
import { waitForWatermark } from '../watermark.ts'
import type { Cancellation, IncomingBlob } from './tree-job.ts'

const READ_BYTES = 256 * 1024
/** One more than whoever decompresses them uses at once. */
const BUFFERS = CHUNKS_IN_USE + 1
/** How late a cancellation may be seen while nothing comes in. */
const WAIT_MS = 20

/** The bytes of a blob, read in the current thread: from the page cache, that is faster than by a thread pool. The disposal closes the file. */
export interface BlobReader extends Disposable {
  /** Of the whole. */
  readonly size: number
  /**
   * To be read once, by one reader; ends early after the disposal. A chunk stays as it is until {@link CHUNKS_IN_USE} more were asked
   * for: new memory for each would gather, since the collector takes it for next to nothing.
   */
  readonly chunks: AsyncIterable<Uint8Array>
}

/** Opens a blob of the store. */
export function openBlob(path: string): BlobReader {
  let fd: number | undefined = openFile(path)
  const size = fstatSync(fd).size
  const readAt = createFileChunks()
  async function* chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    // A decompressor may ask for one chunk more after its taker has gone; by then the number may be another file's.
    while (fd !== undefined) {
      const chunk = readAt(fd, READ_BYTES, null)
      if (chunk.length === 0) return
      yield chunk
    }
  }
  return {
    size,
    chunks: chunks(),
    [Symbol.dispose]() {
      if (fd !== undefined) close(fd)
      fd = undefined
    },
  }
}

/**
 * Follows a download: its reader blocks the thread while nothing new is there, and sees the end when the download has ended well.
 *
 * Whoever was given all bytes has been given what the digest names; whoever was given fewer may have been given anything. The reader
 * throws UNAVAILABLE when the download was given up or starts over, and the signal's reason when it fires.
 *
 * @param blobPath where the file is once the download has ended
 */
export function followBlob(
  { path, watermark, size }: IncomingBlob,
  blobPath: string,
  signal: Cancellation,
): BlobReader {
  let fd: number | undefined
  let closed = false
  const readAt = createFileChunks()
  async function* chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    for (let position = 0; !closed; ) {
      const { bytes, state } = waitForWatermark(watermark, position, WAIT_MS)
      signal.throwIfAborted()
      if (state === 'failed') throw givenUp()
      if (bytes > position) {
        fd ??= openEither(path, blobPath)
        const chunk = readAt(fd, Math.min(READ_BYTES, bytes - position), position)
        // Cut off by whoever starts the download over, which the watermark is about to say.
        if (chunk.length === 0) throw givenUp()
        position += chunk.length
        yield chunk
      } else if (state === 'complete') {
        return
      } else {
        // For what was decompressed meanwhile to be taken.
        await nextTurn()
      }
    }
  }
  return {
    size,
    chunks: chunks(),
    [Symbol.dispose]() {
      closed = true
      if (fd !== undefined) close(fd)
      fd = undefined
    },
  }
}

/** Makes a function that reads a piece of a file, into a few buffers in turn. */
function createFileChunks() {
  const buffers: Buffer[] = []
  let turn = 0
  return (fd: number, bytes: number, position: number | null): Uint8Array => {
    const buffer = buffers[turn] ?? Buffer.allocUnsafeSlow(READ_BYTES)
    buffers[turn] = buffer
    turn = (turn + 1) % BUFFERS
    return buffer.subarray(0, readSync(fd, buffer, 0, bytes, position))
  }
}

function openEither(path: string, blobPath: string): number {
  try {
    return openFile(path)
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error
    return openFile(blobPath)
  }
}

function givenUp(): CodedError {
  return new CodedError('UNAVAILABLE', 'The download was given up')
}

import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createGunzip, createZstdDecompress } from 'node:zlib'
import { CodedError, isSystemError } from '../../../common/errors.ts'
import { limitHint } from '../../../common/limit-hint.ts'
import { formatBytes } from '../format-progress.ts'
import { TREE_LIMIT_FLAGS, type TreeLimits } from '../tree/tree-limits.ts'

/** Twice as fast as Node's default of 16 KiB. */
const CHUNK_BYTES = 256 * 1024
/** The longest magic below. */
const MAGIC_BYTES = 6
/** Of the input: as many as there are bytes in the magic, one in the engine, one before it. */
export const CHUNKS_IN_USE = MAGIC_BYTES + 2

type Compression = 'gzip' | 'zstd' | 'plain'

/**
 * Decompresses gzip (of any number of members) and zstd (of any number of frames), known by their first bytes; passes on what is neither.
 *
 * Members of a gzip file need no cap of their own: empty ones, 20 bytes each, are read at 150 MB/s. A chunk of the input must stay as it is
 * until {@link CHUNKS_IN_USE} more were asked for; a chunk of the output may be used until the next is asked for.
 *
 * @throws CORRUPT for compressed data that is damaged, ends early, or has other bytes behind it; INVALID for another compression;
 * EXHAUSTED for a zstd window of more than the limit; what the input throws
 */
export async function* decompress(
  input: AsyncIterable<Uint8Array>,
  limits: Pick<TreeLimits, 'zstdWindowBytes'>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const source = input[Symbol.asyncIterator]()
  const head: Uint8Array[] = []
  let headBytes = 0
  while (headBytes < MAGIC_BYTES) {
    const next = await source.next()
    if (next.done === true) break
    head.push(next.value)
    headBytes += next.value.length
  }
  const all = concat(head, source)
  const compression = compressionOf(Buffer.concat(head).subarray(0, MAGIC_BYTES))
  if (compression === 'plain') yield* all
  else yield* inflate(all, compression, limits.zstdWindowBytes)
}

async function* concat(
  head: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* head
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) {
      yield next.value
    }
  } finally {
    await rest.return?.()
  }
}

function compressionOf(magic: Buffer): Compression {
  if (magic[0] === 0x1f && magic[1] === 0x8b) return 'gzip'
  const word = magic.length < 4 ? 0 : magic.readUInt32LE(0)
  // A zstd frame, or one of the sixteen kinds of skippable frames before it.
  if (word === 0xfd2fb528 || (word & 0xfffffff0) >>> 0 === 0x184d2a50) return 'zstd'
  if (magic.toString('latin1', 0, 3) === 'BZh') throw unsupported('bzip2')
  if (magic.toString('latin1') === '\xfd7zXZ\x00') throw unsupported('xz')
  return 'plain'
}

async function* inflate(
  input: AsyncGenerator<Uint8Array, void, undefined>,
  compression: 'gzip' | 'zstd',
  zstdWindowBytes: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  // One chunk at a time is taken in, however small: the input's buffers are used again.
  const sizes = { chunkSize: CHUNK_BYTES, writableHighWaterMark: 1 }
  const engine =
    compression === 'gzip'
      ? createGunzip(sizes)
      : createZstdDecompress({
          ...sizes,
          params: { [constants.ZSTD_d_windowLogMax]: Math.floor(Math.log2(zstdWindowBytes)) },
        })
  const compressed = { bytes: 0 }
  let inputError: unknown
  async function* counted() {
    try {
      for (;;) {
        const next = await nextOf(input)
        if (next.done === true) return
        compressed.bytes += next.value.length
        yield next.value
      }
    } finally {
      await input.return()
    }
  }
  // Not around the `yield`: what ends this generator from outside is no fault of the input.
  const nextOf = async (source: typeof input) => {
    try {
      return await source.next()
    } catch (error) {
      inputError = error
      throw error
    }
  }
  const feeding = pipeline(Readable.from(counted(), { highWaterMark: 1 }), engine)
  // Awaited below, after what the engine made is taken; by then a failure has come out of the engine, too.
  feeding.catch(() => undefined)
  try {
    for await (const chunk of engine) {
      yield chunk
      release(chunk)
    }
    await feeding
  } catch (error) {
    if (inputError !== undefined) throw inputError
    throw corrupt(error, compression, zstdWindowBytes)
  } finally {
    engine.destroy()
  }
  if (engine.bytesWritten !== compressed.bytes)
    throw corrupt(undefined, compression, zstdWindowBytes)
}

/**
 * Frees a buffer that the engine has filled and its taker has used. The collector, which sees a small object, would let some 40 MB of
 * them gather.
 */
function release(chunk: Buffer): void {
  const { buffer, byteOffset, length } = chunk
  // Up to there, the engine goes on to fill it.
  const isFull = byteOffset + length === buffer.byteLength
  if (isFull && buffer instanceof ArrayBuffer) buffer.transfer(0)
}

function corrupt(error: unknown, compression: string, zstdWindowBytes: number): unknown {
  // An engine that has seen the end takes nothing more: the input is cut off, in one way or the other.
  if (error === undefined || isSystemError(error, 'ERR_STREAM_PREMATURE_CLOSE', 'ABORT_ERR')) {
    return new CodedError('CORRUPT', `Malformed ${compression} data: other bytes follow its end`, {
      cause: error,
    })
  }
  if (isSystemError(error, 'ZSTD_error_frameParameter_windowTooLarge')) {
    return new CodedError(
      'EXHAUSTED',
      `Cannot decompress zstd data: it needs a window of more than ${formatBytes(zstdWindowBytes)}; compress it again without --long${limitHint(TREE_LIMIT_FLAGS.zstdWindowBytes)}`,
      { cause: error },
    )
  }
  if (error instanceof Error && 'code' in error && /^(?:Z_|ZSTD_)/.test(String(error.code))) {
    return new CodedError('CORRUPT', `Malformed ${compression} data: ${error.message}`, {
      cause: error,
    })
  }
  return error
}

function unsupported(name: string): CodedError {
  return new CodedError(
    'INVALID',
    `Unsupported compression ${name}; expected gzip, zstd or a plain tar archive`,
  )
}

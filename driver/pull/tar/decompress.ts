import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createGunzip, createZstdDecompress } from 'node:zlib'
import { CodedError, isSystemError } from '../../../common/errors.ts'

/** Twice as fast as Node's default of 16 KiB. */
const CHUNK_BYTES = 256 * 1024
/** 128 MiB: what `zstd --ultra -22` needs; `--long=31` would take 2 GiB of memory for each archive. */
const ZSTD_WINDOW_LOG_MAX = 27
/** The longest magic below. */
const MAGIC_BYTES = 6

type Compression = 'gzip' | 'zstd' | 'plain'

/**
 * Decompresses gzip (of any number of members) and zstd (of any number of frames), known by their first bytes; passes on what is neither.
 *
 * Members of a gzip file need no cap of their own: empty ones, 20 bytes each, are read at 150 MB/s. The input's chunks must stay as they are; the output's are the taker's.
 *
 * @throws CORRUPT for compressed data that is damaged, ends early, or has other bytes behind it; INVALID for another compression;
 * EXHAUSTED for a zstd window of more than 128 MiB; what the input throws
 */
export async function* decompress(
  input: AsyncIterable<Uint8Array>,
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
  else yield* inflate(all, compression)
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
): AsyncGenerator<Uint8Array, void, undefined> {
  const engine =
    compression === 'gzip'
      ? createGunzip({ chunkSize: CHUNK_BYTES })
      : createZstdDecompress({
          chunkSize: CHUNK_BYTES,
          params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
        })
  const compressed = { bytes: 0 }
  let inputError: unknown
  async function* counted() {
    try {
      for await (const chunk of input) {
        compressed.bytes += chunk.length
        yield chunk
      }
    } catch (error) {
      inputError = error
      throw error
    }
  }
  const feeding = pipeline(Readable.from(counted(), { highWaterMark: 1 }), engine)
  // Awaited below, after what the engine made is taken; by then a failure has come out of the engine, too.
  feeding.catch(() => undefined)
  try {
    for await (const chunk of engine) yield chunk
    await feeding
  } catch (error) {
    if (inputError !== undefined) throw inputError
    throw corrupt(error, compression)
  } finally {
    engine.destroy()
  }
  if (engine.bytesWritten !== compressed.bytes) throw corrupt(undefined, compression)
}

function corrupt(error: unknown, compression: string): unknown {
  if (error === undefined || isSystemError(error, 'ERR_STREAM_PREMATURE_CLOSE')) {
    return new CodedError('CORRUPT', `Malformed ${compression} data: other bytes follow its end`, {
      cause: error,
    })
  }
  if (isSystemError(error, 'ZSTD_error_frameParameter_windowTooLarge')) {
    return new CodedError(
      'EXHAUSTED',
      `Cannot decompress zstd data: it needs a window of more than ${2 ** (ZSTD_WINDOW_LOG_MAX - 20)} MiB; compress it again without --long`,
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

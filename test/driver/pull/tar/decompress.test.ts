import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CodedError } from '../../../../common/errors.ts'
import { CHUNKS_IN_USE, decompress } from '../../../../driver/pull/tar/decompress.ts'
import { DEFAULT_TREE_LIMITS } from '../../../../driver/pull/tree/tree-limits.ts'

const text = Buffer.from('some text, some more text. '.repeat(2000))
const half = text.length / 2

async function* chunks(bytes: Uint8Array, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

/** The same by few buffers, used again and again, as a reader of files does. */
async function* reused(bytes: Uint8Array, size: number) {
  const buffers = Array.from({ length: CHUNKS_IN_USE + 1 }, () => Buffer.alloc(size))
  let turn = 0
  for await (const chunk of chunks(bytes, size)) {
    const buffer = buffers[turn++ % buffers.length] ?? Buffer.alloc(0)
    buffer.set(chunk)
    yield buffer.subarray(0, chunk.length)
  }
}

async function decompressed(bytes: Uint8Array, size = bytes.length || 1): Promise<string> {
  const parts: Uint8Array[] = []
  try {
    for await (const part of decompress(reused(bytes, size), DEFAULT_TREE_LIMITS)) {
      parts.push(Buffer.from(part))
    }
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    return `${error.code} ${error.message}`
  }
  return Buffer.concat(parts).toString()
}

const skippable = Buffer.from('502a4d1804000000abcdef01', 'hex')

describe('decompress', () => {
  test.for<[string, Buffer]>([
    ['plain bytes', text],
    ['gzip', gzipSync(text)],
    ['zstd', zstdCompressSync(text)],
    [
      'a gzip file of many members, as eStargz and pigz write it',
      Buffer.concat([
        gzipSync(text.subarray(0, half)),
        gzipSync(''),
        gzipSync(text.subarray(half)),
      ]),
    ],
    [
      'a zstd file of many frames and skippable ones, as zstd:chunked and pzstd write it',
      Buffer.concat([
        skippable,
        zstdCompressSync(text.subarray(0, half)),
        zstdCompressSync(text.subarray(half)),
        skippable,
      ]),
    ],
  ])('reads %s, in chunks of any size', async ([, bytes]) => {
    for (const size of [bytes.length, 1000, 7, 1]) {
      expect((await decompressed(bytes, size)) === text.toString()).toBe(true)
    }
  })

  test('passes on fewer bytes than any magic has', async () => {
    expect(await decompressed(Buffer.from('ab'))).toBe('ab')
    expect(await decompressed(Buffer.alloc(0))).toBe('')
  })

  const gzip = gzipSync(text)
  const zstd = zstdCompressSync(text)
  const broken = Buffer.from(gzip)
  broken[gzip.length - 6] = (broken[gzip.length - 6] ?? 0) ^ 1

  test.for<[string, Buffer, string]>([
    [
      'gzip that ends early',
      gzip.subarray(0, -9),
      'CORRUPT Malformed gzip data: unexpected end of file',
    ],
    [
      'gzip without its checksum',
      gzip.subarray(0, -1),
      'CORRUPT Malformed gzip data: unexpected end of file',
    ],
    [
      'zstd that ends early',
      zstd.subarray(0, -1),
      'CORRUPT Malformed zstd data: unexpected end of file',
    ],
    ['gzip with a wrong checksum', broken, 'CORRUPT Malformed gzip data: incorrect data check'],
    [
      'gzip with garbage behind it',
      Buffer.concat([gzip, Buffer.from('garbage')]),
      'CORRUPT Malformed gzip data: incorrect header check',
    ],
    [
      'gzip with a member hidden behind zeros',
      Buffer.concat([gzip, Buffer.alloc(9), gzip]),
      'CORRUPT Malformed gzip data: other bytes follow its end',
    ],
    [
      'zstd with garbage behind it',
      Buffer.concat([zstd, Buffer.from('garbage!'), zstd]),
      'CORRUPT Malformed zstd data: other bytes follow its end',
    ],
    [
      'bzip2',
      Buffer.from('BZh91AY&SY'),
      'INVALID Unsupported compression bzip2; expected gzip, zstd or a plain tar archive',
    ],
    [
      'xz',
      Buffer.from('\xfd7zXZ\0\0\x04', 'latin1'),
      'INVALID Unsupported compression xz; expected gzip, zstd or a plain tar archive',
    ],
    [
      'zstd with a window beyond 128 MiB',
      // A frame header alone: no content size, window descriptor of 2^28.
      Buffer.concat([Buffer.from('28b52ffd0090', 'hex'), Buffer.from('010000', 'hex')]),
      'EXHAUSTED Cannot decompress zstd data: it needs a window of more than 128.0 MiB; compress it again without --long (the limit --max-zstd-window, which an admin can raise)',
    ],
  ])('refuses %s', async ([, bytes, message]) => {
    expect(await decompressed(bytes)).toBe(message)
  })

  test('refuses what follows the end in a chunk of its own, too', async () => {
    const tail = Buffer.alloc(zstd.length, 'x')
    expect(await decompressed(Buffer.concat([zstd, tail]), zstd.length)).toBe(
      'CORRUPT Malformed zstd data: other bytes follow its end',
    )
  })

  test('refuses what follows the end, however it is cut', async () => {
    for (const bytes of [
      Buffer.concat([gzip, Buffer.alloc(9), gzip]),
      Buffer.concat([zstd, Buffer.from('garbage!'), zstd]),
    ]) {
      for (const size of [1, 2, 7, 20, 100, 177, bytes.length - 1]) {
        expect(await decompressed(bytes, size)).toMatch(
          /^CORRUPT Malformed (?:gzip|zstd) data: other bytes follow its end$/,
        )
      }
    }
  })

  test('throws what its input throws', async () => {
    async function* failing() {
      yield gzip.subarray(0, 100)
      throw new Error('the download broke')
    }
    const reading = Array.fromAsync(decompress(failing(), DEFAULT_TREE_LIMITS))
    await expect(reading).rejects.toThrow('the download broke')
  })

  test('ends its input when the reader stops', async () => {
    let ended = false
    async function* endless() {
      try {
        for (;;)
          yield zstdCompressSync(text, { params: { [constants.ZSTD_c_compressionLevel]: 1 } })
      } finally {
        ended = true
      }
    }
    for await (const _ of decompress(endless(), DEFAULT_TREE_LIMITS)) break
    await expect.poll(() => ended).toBe(true)
  })

  test('throws nothing but its own errors for damaged data', async () => {
    const damage = fc.tuple(
      fc.constantFrom(gzip, zstd),
      fc.array(fc.tuple(fc.nat(zstd.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 200 }),
    )
    await fc.assert(
      fc.asyncProperty(damage, async ([bytes, changes, size]) => {
        const damaged = Buffer.from(bytes)
        for (const [offset, byte] of changes) damaged[offset] = byte
        await decompressed(damaged, size)
      }),
    )
  })
})

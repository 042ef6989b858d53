import { createCipheriv, createHash } from 'node:crypto'
import { type Digest, type DigestAlgorithm, finishDigest } from '../../../common/oci/digest.ts'

/** Bytes of a known length that can be read from anywhere, held in memory or made as they are read. */
export interface Content {
  readonly size: number
  /** The bytes from `start` to `end` (exclusive), both within the content. */
  slice(start: number, end: number): Uint8Array
}

// Large enough that a body of hundreds of MiB costs few system calls, small enough for smooth throttling.
export const CHUNK_BYTES = 256 * 1024

/** Serves bytes that are at hand. */
export function contentOf(bytes: Uint8Array): Content {
  return { size: bytes.length, slice: (start, end) => bytes.subarray(start, end) }
}

/**
 * Serves `size` bytes that gzip cannot shrink, without holding them: one random MiB, repeated, with its number in
 * the first eight bytes of each repetition. The same `seed` gives the same bytes.
 */
export function generatedContent(size: number, seed = 1): Content {
  const block = randomBlock(seed)
  return {
    size,
    slice: (start, end) => {
      const offset = start % block.length
      // Most of it is the block as it is: no copy.
      if (offset >= 8 && offset + end - start <= block.length) {
        return block.subarray(offset, offset + end - start)
      }
      const bytes = Buffer.alloc(end - start)
      for (let at = start; at < end; ) {
        const from = at % block.length
        const length = Math.min(block.length - from, end - at)
        block.copy(bytes, at - start, from, from + length)
        stamp(bytes.subarray(at - start, at - start + length), from, Math.floor(at / block.length))
        at += length
      }
      return bytes
    },
  }
}

/** Changes one bit of one byte. */
export function corruptedContent(content: Content, at: number): Content {
  return {
    size: content.size,
    slice: (start, end) => {
      const bytes = content.slice(start, end)
      if (at < start || at >= end) return bytes
      const copy = Buffer.from(bytes)
      copy[at - start] = (copy[at - start] ?? 0) ^ 1
      return copy
    },
  }
}

/** Cuts bytes off the end (`by` negative) or appends zeros. */
export function resizedContent(content: Content, by: number): Content {
  const size = Math.max(0, content.size + by)
  return {
    size,
    slice: (start, end) => {
      const bytes = content.slice(Math.min(start, content.size), Math.min(end, content.size))
      return bytes.length === end - start
        ? bytes
        : Buffer.concat([bytes, Buffer.alloc(end - start - bytes.length)])
    },
  }
}

/** Digests content by reading it once. */
export function digestOfContent(content: Content, algorithm: DigestAlgorithm = 'sha256'): Digest {
  const hash = createHash(algorithm)
  for (let at = 0; at < content.size; at += CHUNK_BYTES) {
    hash.update(content.slice(at, Math.min(at + CHUNK_BYTES, content.size)))
  }
  return finishDigest(algorithm, hash)
}

function randomBlock(seed: number): Buffer {
  const key = createHash('sha256').update(`generated content ${seed}`).digest().subarray(0, 16)
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16))
  return cipher.update(Buffer.alloc(1024 * 1024))
}

/** Writes what falls into `part`, which starts at `from` of its block, of the block's eight bytes of number. */
function stamp(part: Buffer, from: number, index: number): void {
  if (from >= 8) return
  const number = Buffer.alloc(8)
  number.writeBigUInt64BE(BigInt(index))
  number.copy(part, 0, from, Math.min(8, from + part.length))
}

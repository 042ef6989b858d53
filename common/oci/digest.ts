import { createHash, type Hash } from 'node:crypto'
import { CodedError } from '../errors.ts'

/**
 * A content digest: `"sha256:" + 64` or `"sha512:" + 128` lowercase hex characters.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md#digests
 */
export type Digest = `sha256:${string}` | `sha512:${string}`

export type DigestAlgorithm = 'sha256' | 'sha512'

// Checked before any path is made of a digest (CVE-2024-3727: a digest used as a path unchecked).
const DIGEST = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/

/** Answers whether `text` is a well-formed digest of a supported algorithm. */
export function isDigest(text: string): text is Digest {
  return DIGEST.test(text)
}

/** @throws INVALID when `text` is not a digest */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text
  throw new CodedError(
    'INVALID',
    `Invalid digest ${JSON.stringify(text.slice(0, 200))}: expected "sha256:" and 64, or "sha512:" and 128, lowercase hex characters`,
  )
}

/** The algorithm half: `sha256:ab…` gives `sha256`. */
export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512'
}

/** The hex half: `sha256:ab…` gives `ab…`; safe as a file name. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/** Digests bytes that are at hand. */
export function digestOf(
  bytes: Uint8Array | string,
  algorithm: DigestAlgorithm = 'sha256',
): Digest {
  return finishDigest(algorithm, createHash(algorithm).update(bytes))
}

/** Ends a running hash of `algorithm` and writes it as a digest. */
export function finishDigest(algorithm: DigestAlgorithm, hash: Hash): Digest {
  return `${algorithm}:${hash.digest('hex')}`
}

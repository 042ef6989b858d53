import { createHash } from 'node:crypto'
import { CodedError } from '../errors.ts'
import type { Descriptor } from './descriptor.ts'
import { digestAlgorithm, finishDigest } from './digest.ts'

/** What the bytes should be, and how to say that they are not. */
export interface Expectation {
  readonly descriptor: Descriptor
  /** Where the bytes start in the blob; from 0 they are hashed. */
  readonly offset: number
  /** Begins the message, e.g. `Cannot pull "ghcr.io/acme/app:v1"`. */
  readonly subject: string
  /** Who sent the bytes, e.g. `registry`. */
  readonly sender: string
  /** Called when the bytes ended early: throws when the sender cannot have meant that end. */
  readonly onShort?: () => void
}

/**
 * Passes bytes on while they can be right. The chunk that completes them is held back until size and digest are known to be: who
 * has received everything has received the content; more than its size is never passed on. Every other chunk is passed on at once,
 * so that nothing is lost of what came before a connection breaks.
 *
 * @throws CORRUPT for bytes that are too many, too few, or others
 */
export async function* verified(
  chunks: AsyncIterable<Uint8Array>,
  { descriptor, offset, subject, sender, onShort = () => {} }: Expectation,
): AsyncGenerator<Uint8Array, void, undefined> {
  const algorithm = digestAlgorithm(descriptor.digest)
  const hash = offset === 0 ? createHash(algorithm) : undefined
  const blob = `blob ${descriptor.digest}`
  let position = offset
  let held: Uint8Array | undefined
  for await (const chunk of chunks) {
    if (chunk.byteLength === 0) continue
    position += chunk.byteLength
    if (position > descriptor.size) {
      throw new CodedError(
        'CORRUPT',
        `${subject}: ${sender} sent more than the ${descriptor.size} bytes of ${blob}`,
      )
    }
    // Hashed before it is handed out: the receiver may reuse its memory.
    hash?.update(chunk)
    if (position === descriptor.size) held = chunk
    else yield chunk
  }
  if (position < descriptor.size) {
    onShort()
    throw new CodedError(
      'CORRUPT',
      `${subject}: ${sender} sent ${position} of the ${descriptor.size} bytes of ${blob}`,
    )
  }
  const digest = hash && finishDigest(algorithm, hash)
  if (digest !== undefined && digest !== descriptor.digest) {
    throw new CodedError('CORRUPT', `${subject}: the bytes of ${blob} hash to ${digest}`)
  }
  if (held !== undefined) yield held
}

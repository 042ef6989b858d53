import type { IncomingMessage } from 'node:http'
import { Refusal } from './refusal.ts'

// A pod is at most 3 MiB, the API server's own limit for a request; an update brings two of them.
export const MAX_BODY_BYTES = 8 * 1024 * 1024

/** Reviews are a few KiB as a rule, and no more than this of each is held without asking. */
export const ORDINARY_BODY_BYTES = 64 * 1024

// With the parsed objects of one of them this is what the memory limit of the pod leaves.
const MAX_LARGE_BYTES = 48 * 1024 * 1024

/** Reads the bodies of requests whole, of all together no more than memory allows. */
export interface BodyReader {
  /**
   * Reads a body, and holds its share of the memory until `release`.
   *
   * @throws a {@link Refusal}: 413 as soon as it is known to be too large, 503 when too much is being read already, 400 when it breaks off
   */
  read(request: IncomingMessage): Promise<RequestBody>
}

/** A body that was read. */
export interface RequestBody extends Disposable {
  readonly bytes: Buffer
}

/**
 * Makes a reader of bodies.
 *
 * The attack: a hundred clients send large bodies slowly, and each holds megabytes. What ordinary reviews take is never refused.
 */
export function createBodyReader(
  limits: {
    /** Default 8 MiB. */
    readonly maxBytes?: number
    /** Of all bodies together, each beyond its first 64 KiB; default 48 MiB. */
    readonly maxLargeBytes?: number
  } = {},
): BodyReader {
  const { maxBytes = MAX_BODY_BYTES, maxLargeBytes = MAX_LARGE_BYTES } = limits
  let largeBytes = 0
  return {
    read: (request) =>
      new Promise((resolve, reject) => {
        const chunks: Buffer[] = []
        let length = 0
        let held = 0
        const release = () => {
          largeBytes -= held
          held = 0
        }
        const fail = (refusal: Refusal) => {
          request.removeAllListeners('data')
          release()
          reject(refusal)
        }
        const takes = (total: number) => {
          if (total > maxBytes) return fail(tooLarge(maxBytes))
          const more = Math.max(0, total - ORDINARY_BODY_BYTES) - held
          if (largeBytes + more > maxLargeBytes) return fail(tooMuch())
          largeBytes += more
          held += more
          return true
        }
        // Go says how much comes; a body that is too large is refused before any of it is read.
        if (Number(request.headers['content-length'] ?? 0) > maxBytes)
          return fail(tooLarge(maxBytes))
        request.on('data', (chunk: Buffer) => {
          length += chunk.length
          if (takes(length)) chunks.push(chunk)
        })
        request.once('end', () =>
          resolve({
            bytes: chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, length),
            [Symbol.dispose]: release,
          }),
        )
        request.once('close', () => {
          if (!request.complete) fail(new Refusal(400, 'The body breaks off'))
        })
        // Followed by "close".
        request.on('error', () => undefined)
      }),
  }
}

function tooLarge(maxBytes: number): Refusal {
  return new Refusal(413, `The body is too large; expected at most ${maxBytes} bytes`)
}

function tooMuch(): Refusal {
  return new Refusal(503, 'Too many large bodies at once; try again')
}

import type { IncomingMessage } from 'node:http'
import { createBodyBudget } from './body-budget.ts'
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
  const budget = createBodyBudget(maxLargeBytes)
  return {
    read: (request) =>
      new Promise((resolve, reject) => {
        const chunks: Buffer[] = []
        let length = 0
        let isRefused = false
        const fail = (refusal: Refusal) => {
          isRefused = true
          request.removeAllListeners('data')
          // The connection outlives it: the answer is on its way.
          chunks.length = 0
          share.release()
          reject(refusal)
        }
        const share = budget.enter(request.socket.remoteAddress ?? '', () => fail(tooMuch()))
        const takes = (chunk: Buffer) => {
          const before = Math.max(length, ORDINARY_BODY_BYTES)
          length += chunk.length
          if (length > maxBytes) return fail(tooLarge(maxBytes))
          return length <= before || share.take(length - before)
        }
        // Go says how much comes; a body that is too large is refused before any of it is read.
        if (Number(request.headers['content-length'] ?? 0) > maxBytes)
          return fail(tooLarge(maxBytes))
        request.on('data', (chunk: Buffer) => {
          if (takes(chunk)) chunks.push(chunk)
        })
        request.once('end', () => {
          if (isRefused) return
          share.complete()
          resolve({
            bytes: chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, length),
            [Symbol.dispose]: () => share.release(),
          })
        })
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

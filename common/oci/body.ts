import { connectionFailure } from './connection-failure.ts'
import { RequestFailure } from './request-failure.ts'
import type { HttpAnswer } from './transport.ts'

/** Whose answer is read, and how much of it. */
export interface BodyLimits {
  readonly url: URL
  readonly maxBytes: number
  /** What the body is called when it is larger, e.g. `manifest`. */
  readonly name: string
  /** Ends the message when it is larger: how to raise a limit that can be. */
  readonly hint?: string
  readonly idleTimeoutMs: number
  readonly signal: AbortSignal
}

/**
 * Reads a small body whole.
 *
 * @throws RequestFailure when it is larger than `maxBytes` (`CORRUPT`, or `EXHAUSTED` with a `hint`); (`UNAVAILABLE`, transient) when the connection broke
 * @throws the signal's reason
 */
export async function readBody(answer: HttpAnswer, limits: BodyLimits): Promise<Buffer> {
  const { name, maxBytes, hint } = limits
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of bodyChunks(answer, limits)) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) {
      const code = hint === undefined ? 'CORRUPT' : 'EXHAUSTED'
      throw new RequestFailure(code, `${name} is larger than ${maxBytes} bytes${hint ?? ''}`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, bytes)
}

/**
 * The chunks of a body as they come. Leaving the loop early closes the connection.
 *
 * @throws RequestFailure (`UNAVAILABLE`, transient) when the connection broke
 * @throws the signal's reason
 */
export async function* bodyChunks(
  answer: HttpAnswer,
  { url, idleTimeoutMs, signal }: Pick<BodyLimits, 'url' | 'idleTimeoutMs' | 'signal'>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks: AsyncIterator<Uint8Array> = answer.body[Symbol.asyncIterator]()
  try {
    for (;;) {
      let next: IteratorResult<Uint8Array>
      try {
        next = await chunks.next()
      } catch (error) {
        signal.throwIfAborted()
        throw connectionFailure(error, url, idleTimeoutMs)
      }
      signal.throwIfAborted()
      if (next.done) return
      yield next.value
    }
  } finally {
    discardBody(answer)
  }
}

/** Closes the connection of an answer whose body is not wanted, or not to its end. */
export function discardBody({ body }: HttpAnswer): void {
  // undici may report the abort as an error later, when nobody else listens: unheard, it would end the process.
  body.on('error', () => undefined).destroy()
}

import { setTimeout } from 'node:timers/promises'
import { RequestFailure } from './request-failure.ts'

/** How often a request is tried, and how long between. */
export interface RetryOptions {
  /** Requests at most; default 5. */
  readonly attempts?: number
  /** The first wait; each later one is twice as long. Default 200. */
  readonly baseMs?: number
  /** From 0 to 1; default `Math.random`. */
  readonly random?: () => number
  /** Default: a timer. Rejects when the signal fires. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<unknown>
  /** Which failures are tried again, of those that may pass; default all. */
  readonly isWorthIt?: (failure: RequestFailure) => boolean
  /** Hears of each failure that is tried again. */
  readonly onRetry?: (failure: RequestFailure, waitMs: number) => void
}

/** A server that asks for more gets asked again after this nevertheless: pods wait. */
export const MAX_WAIT_MS = 60_000

/**
 * Runs `attempt` again while it throws a transient failure. Waits grow and are spread, so that nodes which failed
 * together do not come back together; a server's `Retry-After` is honoured up to a minute.
 *
 * @throws the last failure
 * @throws the signal's reason
 */
export async function withRetry<T>(
  attempt: () => Promise<T>,
  signal: AbortSignal,
  {
    attempts = 5,
    baseMs = 200,
    random = Math.random,
    sleep = (ms, until) => setTimeout(ms, undefined, { signal: until }),
    isWorthIt = () => true,
    onRetry = () => {},
  }: RetryOptions = {},
): Promise<T> {
  for (let made = 1; ; made++) {
    try {
      return await attempt()
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof RequestFailure) || !error.transient || made >= attempts) throw error
      if (!isWorthIt(error)) throw error
      const backOffMs = baseMs * 2 ** (made - 1) * (0.5 + random() / 2)
      const waitMs = Math.min(MAX_WAIT_MS, Math.max(error.retryAfterMs ?? 0, backOffMs))
      onRetry(error, waitMs)
      await sleep(waitMs, signal).catch((interrupted: unknown) => {
        signal.throwIfAborted()
        throw interrupted
      })
    }
  }
}

import { createHash } from 'node:crypto'
import { RequestFailure } from './request-failure.ts'
import { requestToken, type Token, type TokenRequest } from './token.ts'
import type { Transport } from './transport.ts'

/** A token, and whether it was asked for just now. */
export interface IssuedToken {
  readonly value: string
  readonly fresh: boolean
}

/** Tokens by registry, scope and credential: two secrets never share one. */
export interface TokenCache extends Disposable {
  /**
   * Gives a token that is not about to expire. Callers who want the same one at the same time share one request.
   *
   * @param rejected a token that the registry just refused: it is not given again
   * @throws RequestFailure; the signal's reason
   */
  get(request: TokenRequest, rejected?: string): Promise<IssuedToken>
}

interface Entry {
  token?: Token
  pending?: Promise<Token>
}

/** More repositories and secrets than a node has at work; a token is asked for again when it was forgotten. */
const MAX_ENTRIES = 2000
/** Token requests belong to several callers and end without them. */
const REQUEST_TIMEOUT_MS = 60_000

export function createTokenCache({
  transport,
  clientId,
  nowMs,
}: {
  readonly transport: Transport
  readonly clientId: string
  readonly nowMs: () => number
}): TokenCache {
  const entries = new Map<string, Entry>()
  const lifetime = new AbortController()

  async function issue(request: TokenRequest): Promise<Token> {
    const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
    const signal = AbortSignal.any([lifetime.signal, timeout])
    try {
      return await requestToken(transport, { ...request, signal }, { clientId, nowMs })
    } catch (error) {
      if (!signal.aborted) throw error
      const what = timeout.aborted ? 'token service is too slow' : 'the registry client was closed'
      throw new RequestFailure('UNAVAILABLE', what, { transient: timeout.aborted, cause: error })
    }
  }

  function start(entry: Entry, request: TokenRequest): Promise<Token> {
    const pending = issue(request)
      .then((token) => {
        entry.token = token
        return token
      })
      .finally(() => {
        delete entry.pending
      })
    // Whoever waits hears of a failure; when all have gone away, nobody needs to.
    pending.catch(() => {})
    entry.pending = pending
    return pending
  }

  return {
    async get(request, rejected) {
      const key = keyOf(request)
      const entry = entries.get(key) ?? {}
      entries.delete(key)
      entries.set(key, entry)
      forgetOldest(entries)
      const { token } = entry
      if (token && token.value !== rejected && nowMs() < token.freshUntilMs) {
        return { value: token.value, fresh: false }
      }
      const issued = await abandonable(entry.pending ?? start(entry, request), request.signal)
      return { value: issued.value, fresh: true }
    },
    [Symbol.dispose]() {
      lifetime.abort()
      entries.clear()
    },
  }
}

/** The key is a hash, so that no secret stands in a heap dump because of it. */
function keyOf({ endpoint, challenge, scope, credential }: TokenRequest): string {
  const parts = [endpoint, challenge.realm, challenge.service ?? '', scope, credential ?? '']
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}

function forgetOldest(entries: Map<string, Entry>): void {
  const oldest = entries.keys().next().value
  if (entries.size > MAX_ENTRIES && oldest !== undefined) entries.delete(oldest)
}

/** Waits for work that others wait for too: a fired signal ends the waiting, not the work. */
async function abandonable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: abandoned, reject } = Promise.withResolvers<never>()
  const abandon = () => reject(signal.reason)
  signal.addEventListener('abort', abandon, { once: true })
  try {
    signal.throwIfAborted()
    return await Promise.race([work, abandoned])
  } finally {
    signal.removeEventListener('abort', abandon)
  }
}

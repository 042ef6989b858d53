import { Pool } from 'undici'
import type { Reach } from './address.ts'
import { checkLiteral, guardedLookup, type NoteReach } from './address-guard.ts'
import { connectionFailure } from './connection-failure.ts'
import type { TlsSettings } from './hosts.ts'
import { RequestFailure } from './request-failure.ts'
import { secureContextOf, trustKey } from './trust.ts'

/** One HTTP request, as it goes out; redirects are not followed. */
export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly tls: TlsSettings
  /** The innermost addresses that may be contacted; checked after names are resolved. */
  readonly reach: Reach
  readonly signal: AbortSignal
}

/** Status, headers and a body that the caller reads to its end, drains or destroys. */
export interface HttpAnswer {
  readonly status: number
  /** The first value of a header; names in lower case. */
  header(name: string): string | undefined
  readonly body: AnswerBody
}

/** What undici's bodies can do, and those that come from elsewhere. */
export interface AnswerBody extends AsyncIterable<Uint8Array> {
  /** Reads what is left, up to a limit, and throws it away. */
  dump(options?: { readonly limit: number; readonly signal: AbortSignal }): Promise<void>
  on(event: 'error', listener: (error: unknown) => void): this
  /** Closes the connection. */
  destroy(): unknown
}

/** Connections to servers, kept open between requests. Disposing closes them; requests under way fail. */
export interface Transport extends AsyncDisposable {
  readonly idleTimeoutMs: number
  /**
   * @throws RequestFailure when no answer came
   * @throws the signal's reason
   */
  send(request: HttpRequest): Promise<HttpAnswer>
  /** Where a host was last seen: the innermost of its addresses; undefined before the first request. */
  lastReach(hostname: string): Reach | undefined
  /** Takes in where a host was seen by somebody who connects on his own. */
  noteReach: NoteReach
}

/** What a request needs of a transport: requests may go out on other connections by the same rules. */
export type Sender = Pick<Transport, 'idleTimeoutMs' | 'send' | 'lastReach'>

/** A host name is at most 253 bytes and hosts come from references and redirects: bounded, the oldest goes. */
const MAX_POOLS = 256
/** Several blobs at once, each in several ranges, and small requests beside them. */
const CONNECTIONS_PER_ORIGIN = 64

export function createTransport({ idleTimeoutMs }: { readonly idleTimeoutMs: number }): Transport {
  const pools = new Map<string, Pool>()
  const reaches = new Map<string, Reach>()
  let closed = false
  const note = (hostname: string, reach: Reach) => {
    if (reaches.size >= 4 * MAX_POOLS) reaches.clear()
    reaches.set(hostname, reach)
  }
  return {
    idleTimeoutMs,
    lastReach: (hostname) => reaches.get(hostname),
    noteReach: note,
    async send({ method, url, headers, body, tls, reach, signal }) {
      signal.throwIfAborted()
      if (closed) throw new RequestFailure('UNAVAILABLE', 'the registry client was closed')
      try {
        checkLiteral(url, reach, note)
        const pool = poolFor(pools, url, tls, reach, idleTimeoutMs, note)
        const answer = await pool.request({
          method,
          path: url.pathname + url.search,
          headers,
          body: body ?? null,
          signal,
        })
        return {
          status: answer.statusCode,
          header: (name) => firstValue(answer.headers[name]),
          body: answer.body,
        }
      } catch (error) {
        signal.throwIfAborted()
        throw connectionFailure(error, url, idleTimeoutMs)
      }
    },
    async [Symbol.asyncDispose]() {
      closed = true
      await Promise.all(Array.from(pools.values(), (pool) => pool.destroy()))
      pools.clear()
    },
  }
}

function poolFor(
  pools: Map<string, Pool>,
  url: URL,
  tls: TlsSettings,
  reach: Reach,
  idleTimeoutMs: number,
  note: NoteReach,
): Pool {
  // A connection belongs to whoever trusts its certificate in the same way.
  const trust = url.protocol === 'https:' ? trustKey(tls) : ''
  const key = `${url.origin} ${trust} ${reach}`
  const known = pools.get(key)
  if (known !== undefined) {
    pools.delete(key)
    pools.set(key, known)
    return known
  }
  const pool = new Pool(url.origin, {
    connections: CONNECTIONS_PER_ORIGIN,
    // One flow-controlled connection for all streams is slower than a connection for each.
    allowH2: false,
    headersTimeout: idleTimeoutMs,
    bodyTimeout: idleTimeoutMs,
    keepAliveTimeout: 10_000,
    connect: {
      timeout: Math.min(idleTimeoutMs, 10_000),
      lookup: guardedLookup(reach, note),
      ...(url.protocol === 'https:' && {
        rejectUnauthorized: tls.verify,
        ...(tls.ca.length > 0 && { secureContext: secureContextOf(tls) }),
      }),
    },
  })
  pools.set(key, pool)
  const oldest = pools.entries().next().value
  if (pools.size > MAX_POOLS && oldest !== undefined) {
    pools.delete(oldest[0])
    // Ends when the requests under way have; nobody waits for it.
    oldest[1].close().catch(() => {})
  }
  return pool
}

function firstValue(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

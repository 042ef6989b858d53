import { type Dispatcher, Pool, ProxyAgent } from 'undici'
import { isWithin, type Reach } from './address.ts'
import { checkLiteral, guardedLookup, type NoteReach } from './address-guard.ts'
import { connectionFailure, refuseAddress } from './connection-failure.ts'
import { DEFAULT_DIAL_TIMEOUT_MS } from './dial-timeout.ts'
import type { TlsSettings } from './hosts.ts'
import { NO_PROXIES, type Proxies } from './proxy.ts'
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
  /** Default 10 s, and never longer than the idle time-out. */
  readonly dialTimeoutMs?: number
  /** The proxy to go through, which resolves names by itself: then `reach` counts for addresses in the URL. May hold a password. */
  readonly proxy?: string
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
  /** Which proxy the environment wants for a URL. */
  proxyFor(url: URL): string | undefined
  /** Takes in where a host was seen by somebody who connects on his own. */
  noteReach: NoteReach
}

/** What a request needs of a transport: requests may go out on other connections by the same rules. */
export type Sender = Pick<Transport, 'idleTimeoutMs' | 'send' | 'lastReach' | 'proxyFor'>

/** A host name is at most 253 bytes and hosts come from references and redirects: bounded, the oldest goes. */
const MAX_POOLS = 256
/** Several blobs at once, each in several ranges, and small requests beside them. */
const CONNECTIONS_PER_ORIGIN = 64

export function createTransport({
  idleTimeoutMs,
  proxies = NO_PROXIES,
}: {
  readonly idleTimeoutMs: number
  /** Default: every connection is direct. */
  readonly proxies?: Proxies
}): Transport {
  const pools = new Map<string, Dispatcher>()
  const reaches = new Map<string, Reach>()
  let closed = false
  const note = (hostname: string, reach: Reach) => {
    if (reaches.size >= 4 * MAX_POOLS) reaches.clear()
    reaches.set(hostname, reach)
  }
  return {
    idleTimeoutMs,
    lastReach: (hostname) => reaches.get(hostname),
    proxyFor: proxies.proxyFor,
    noteReach: note,
    async send(request) {
      const { method, url, headers, body, signal } = request
      signal.throwIfAborted()
      if (closed) throw new RequestFailure('UNAVAILABLE', 'the registry client was closed')
      try {
        checkLiteral(url, request.reach, note)
        if (request.proxy !== undefined) checkLocalName(url, request.reach)
        const answer = await poolFor(pools, request, idleTimeoutMs, note).request({
          origin: url.origin,
          method,
          path: url.pathname + url.search,
          headers,
          body: body ?? null,
          // Those of a pool do not reach the requests that a proxy forwards.
          ...{ headersTimeout: idleTimeoutMs, bodyTimeout: idleTimeoutMs },
          signal,
        })
        return {
          status: answer.statusCode,
          header: (name) => firstValue(answer.headers[name]),
          body: answer.body,
        }
      } catch (error) {
        signal.throwIfAborted()
        throw connectionFailure(error, url, idleTimeoutMs, request.proxy)
      }
    },
    async [Symbol.asyncDispose]() {
      closed = true
      await Promise.all(Array.from(pools.values(), (pool) => pool.destroy()))
      pools.clear()
    },
  }
}

/** A proxy would take the name for its own loopback. */
function checkLocalName({ hostname }: URL, reach: Reach): void {
  if (!isWithin('local', reach) && /(?:^|\.)localhost\.?$/.test(hostname)) {
    throw refuseAddress(hostname, 'loopback')
  }
}

function poolFor(
  pools: Map<string, Dispatcher>,
  request: HttpRequest,
  idleTimeoutMs: number,
  note: NoteReach,
): Dispatcher {
  const { url, tls, reach, proxy = '', dialTimeoutMs = DEFAULT_DIAL_TIMEOUT_MS } = request
  // A connection belongs to whoever trusts its certificate in the same way, and shows the same one.
  const trust = url.protocol === 'https:' ? trustKey(tls) : ''
  const key = [url.origin, trust, reach, dialTimeoutMs, proxy].join(' ')
  const known = pools.get(key)
  if (known !== undefined) {
    pools.delete(key)
    pools.set(key, known)
    return known
  }
  const pool = openPool({ ...request, dialTimeoutMs }, idleTimeoutMs, note)
  pools.set(key, pool)
  const oldest = pools.entries().next().value
  if (pools.size > MAX_POOLS && oldest !== undefined) {
    pools.delete(oldest[0])
    // Ends when the requests under way have; nobody waits for it.
    oldest[1].close().catch(() => {})
  }
  return pool
}

function openPool(
  { url, tls, reach, proxy, dialTimeoutMs }: HttpRequest & { readonly dialTimeoutMs: number },
  idleTimeoutMs: number,
  note: NoteReach,
): Dispatcher {
  const timeout = Math.min(idleTimeoutMs, dialTimeoutMs)
  const secureContext = url.protocol === 'https:' ? secureContextOf(tls) : undefined
  const trust = {
    rejectUnauthorized: tls.verify,
    ...(secureContext !== undefined && { secureContext }),
  }
  const options = {
    connections: CONNECTIONS_PER_ORIGIN,
    // One flow-controlled connection for all streams is slower than a connection for each.
    allowH2: false,
    headersTimeout: idleTimeoutMs,
    bodyTimeout: idleTimeoutMs,
    keepAliveTimeout: 10_000,
  }
  if (proxy !== undefined) {
    return new ProxyAgent({
      ...options,
      uri: proxy,
      // Many proxies let CONNECT go to port 443 only; plain requests they forward.
      proxyTunnel: false,
      connectTimeout: timeout,
      // Of CONNECT.
      clientFactory: (origin, own) => new Pool(origin, { ...own, headersTimeout: idleTimeoutMs }),
      requestTls: trust,
    })
  }
  return new Pool(url.origin, {
    ...options,
    connect: {
      timeout,
      lookup: guardedLookup(reach, note),
      ...(url.protocol === 'https:' && trust),
    },
  })
}

function firstValue(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

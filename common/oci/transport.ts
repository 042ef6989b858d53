import { createHash } from 'node:crypto'
import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { createSecureContext, getCACertificates } from 'node:tls'
import { type Dispatcher, Pool } from 'undici'
import { innermost, isWithin, type Reach, reachOf } from './address.ts'
import { connectionFailure, refuseAddress } from './connection-failure.ts'
import type { TlsSettings } from './hosts.ts'
import { RequestFailure } from './request-failure.ts'

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
  readonly body: Dispatcher.ResponseData['body']
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
}

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

type Note = (hostname: string, reach: Reach) => void

function poolFor(
  pools: Map<string, Pool>,
  url: URL,
  tls: TlsSettings,
  reach: Reach,
  idleTimeoutMs: number,
  note: Note,
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
        ...(tls.ca.length > 0 && { secureContext: contextFor(tls) }),
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

function trustKey({ ca, verify }: TlsSettings): string {
  const hash = createHash('sha256')
  for (const pem of ca) hash.update(pem).update('\0')
  return `${verify} ${hash.digest('hex')}`
}

// Made once for a pool: reading the system's certificates for each connection costs tens of milliseconds.
function contextFor({ ca }: TlsSettings) {
  return createSecureContext({ ca: [...getCACertificates('default'), ...ca] })
}

/** Looks a name up and keeps the addresses that may be contacted: the connection goes to one that was checked (DNS rebinding). */
function guardedLookup(allowed: Reach, note: Note): LookupFunction {
  return (hostname, options: LookupOptions, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(error, '', 0)
        return
      }
      const kept = addresses.filter(({ address }) => isWithin(reachOf(address), allowed))
      const [first] = kept
      if (first === undefined) {
        callback(refuseAddress(hostname, addresses[0]?.address ?? 'no address'), '', 0)
        return
      }
      note(hostname, innermostOf(kept))
      if (options.all) callback(null, kept)
      else callback(null, first.address, first.family)
    })
  }
}

function innermostOf(addresses: readonly LookupAddress[]): Reach {
  return addresses.reduce<Reach>(
    (reach, { address }) => innermost(reach, reachOf(address)),
    'public',
  )
}

/** An address needs no lookup, so it is checked here. */
function checkLiteral(url: URL, allowed: Reach, note: Note): void {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) === 0) return
  const reach = reachOf(host)
  if (!isWithin(reach, allowed)) throw refuseAddress(url.hostname, host)
  note(url.hostname, reach)
}

function firstValue(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

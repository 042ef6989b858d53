import { innermost, type Reach } from './address.ts'
import type { Endpoint, TlsSettings } from './hosts.ts'
import { RequestFailure } from './request-failure.ts'
import type { HttpAnswer, Sender } from './transport.ts'

/** Where a request finally went: enough to send it again on another connection, e.g. in a worker thread. */
export interface Target {
  readonly url: URL
  /** As sent there; without `authorization` once a redirect left the registry's origin. */
  readonly headers: Readonly<Record<string, string>>
  readonly tls: TlsSettings
  /** The innermost addresses that may be contacted for it; checked after names are resolved. */
  readonly reach: Reach
  /** How long a connection may take to come about; absent: the transport decides. */
  readonly dialTimeoutMs?: number
  /** Through which proxy; may hold a password. Absent: directly. */
  readonly proxy?: string
}

/** An answer that is no redirect, and who gave it. */
export interface Exchange {
  readonly target: Target
  readonly answer: HttpAnswer
  /** A redirect left the origin that was asked first: challenges of this answer do not count. */
  readonly foreign: boolean
}

const REDIRECTS = [301, 302, 303, 307, 308]
const MAX_REDIRECTS = 5

/**
 * Sends a request and follows redirects by hand. `Authorization` and the headers of the endpoint's configuration are dropped for good when
 * scheme, host or port changes (GHSA-vh4v-2xq2-g5cg), TLS never gives way to plain HTTP, and a public registry does not lead to private
 * addresses (GHSA-xf85-363p-868w).
 *
 * @throws RequestFailure when no final answer came
 * @throws the signal's reason
 */
export async function follow(
  transport: Sender,
  endpoint: Endpoint,
  request: {
    readonly method: 'GET' | 'HEAD'
    readonly url: URL
    readonly headers: Readonly<Record<string, string>>
    readonly signal: AbortSignal
  },
): Promise<Exchange> {
  const { method, signal } = request
  let { url, headers } = request
  if (url.origin === new URL(endpoint.base).origin) headers = { ...endpoint.headers, ...headers }
  for (let hop = 0; ; hop++) {
    const target = { url, headers, ...routeTowards(endpoint, url, transport) }
    const answer = await transport.send({ method, ...target, signal })
    if (!REDIRECTS.includes(answer.status)) {
      const foreign = url.origin !== request.url.origin
      return { target, answer, foreign }
    }
    await answer.body.dump({ limit: MAX_DRAIN_BYTES, signal }).catch(() => {})
    if (hop === MAX_REDIRECTS) {
      throw new RequestFailure(
        'UNAVAILABLE',
        `registry redirected more than ${MAX_REDIRECTS} times`,
      )
    }
    const next = nextUrl(answer.header('location'), url)
    if (next.origin !== url.origin) headers = withoutSecrets(request.headers)
    url = next
  }
}

/** How a request travels that is made on behalf of an endpoint, to itself or to where it led. */
export function routeTowards(
  endpoint: Endpoint,
  url: URL,
  transport: Pick<Sender, 'lastReach' | 'proxyFor'>,
): Omit<Target, 'url' | 'headers'> {
  const proxy = endpoint.proxy ?? transport.proxyFor(url)
  return {
    tls: tlsTowards(endpoint, url),
    reach: reachTowards(endpoint, url, transport),
    dialTimeoutMs: endpoint.dialTimeoutMs,
    ...(proxy !== undefined && { proxy }),
  }
}

/**
 * How the certificate of a host is checked that an endpoint led to: its CA counts there too, its `skip_verify` and its client
 * certificates are for its own host and port only.
 */
export function tlsTowards({ base, tls }: Endpoint, url: URL): TlsSettings {
  return new URL(base).host === url.host ? tls : { ca: tls.ca, verify: true }
}

/**
 * The innermost addresses that may be contacted on behalf of an endpoint: its own host where the admin named it, else
 * not this node and its link; other hosts not further inside than the endpoint itself is.
 */
export function reachTowards(
  endpoint: Endpoint,
  url: URL,
  transport: Pick<Sender, 'lastReach'>,
): Reach {
  const own = new URL(endpoint.base)
  if (url.origin === own.origin) {
    if (endpoint.configured) return 'link'
    return endpoint.publicOnly ? 'public' : 'private'
  }
  const reach = transport.lastReach(own.hostname) ?? 'public'
  const others = endpoint.configured ? innermost(reach, 'private') : reach
  // SSRF: no host leads to a metadata service, wherever it is itself.
  return others === 'link' ? 'local' : others
}

/** Enough to empty the body of an error or redirect and keep the connection. */
const MAX_DRAIN_BYTES = 64 * 1024

function nextUrl(location: string | undefined, from: URL): URL {
  const next = location === undefined ? null : URL.parse(location, from)
  if (next === null || !/^https?:$/.test(next.protocol)) {
    throw new RequestFailure('UNAVAILABLE', `${JSON.stringify(from.origin)} redirected to no URL`)
  }
  if (from.protocol === 'https:' && next.protocol === 'http:') {
    throw new RequestFailure(
      'DENIED',
      `${JSON.stringify(from.origin)} redirected to plain HTTP at ${JSON.stringify(next.host)}`,
    )
  }
  // fetch would make a header of these; a redirect has no business choosing credentials.
  next.username = ''
  next.password = ''
  next.hash = ''
  return next
}

/** What the request itself brought, but for what proves who asks. */
function withoutSecrets(
  headers: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const { authorization: _, ...rest } = headers
  return rest
}

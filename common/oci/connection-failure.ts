import { formatProxy } from './proxy.ts'
import { formatStatus, RequestFailure } from './request-failure.ts'

/** The code of the error that {@link refuseAddress} makes. */
const REFUSED_ADDRESS = 'ORAS_CSI_REFUSED_ADDRESS'

/** Makes the error with which a name lookup ends when no address may be contacted. */
export function refuseAddress(host: string, address: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${host} is at ${address}`), { code: REFUSED_ADDRESS })
}

/**
 * Turns an error of the HTTP client into a failure that says what to do. What cannot pass by itself (a name that does
 * not exist, a certificate that nobody trusts) is not transient.
 */
export function connectionFailure(
  error: unknown,
  url: URL,
  idleTimeoutMs: number,
  proxy?: string,
): RequestFailure {
  const code = errorCode(error)
  const through = proxy === undefined ? '' : ` through proxy ${JSON.stringify(formatProxy(proxy))}`
  const origin = JSON.stringify(url.origin) + through
  const missing = JSON.stringify(proxy === undefined ? url.hostname : formatProxy(proxy))
  const cause = withoutPayload(error, code)
  const passing = (message: string) =>
    new RequestFailure('UNAVAILABLE', message, { transient: true, cause })
  const lasting = (message: string) => new RequestFailure('UNAVAILABLE', message, { cause })
  const unreachable = (message: string, transient = true) =>
    new RequestFailure('UNAVAILABLE', message, { transient, unreachable: true, cause })
  const refusal = proxy === undefined ? undefined : proxyStatus(error)
  if (refusal !== undefined) {
    return lasting(`cannot connect to ${origin}: the proxy answered ${formatStatus(refusal)}`)
  }
  switch (code) {
    case REFUSED_ADDRESS:
      return new RequestFailure(
        'DENIED',
        `${origin} is at a loopback, link-local or private address that this registry may not lead to; an admin can allow it by a hosts.toml for the registry`,
        { cause },
      )
    case 'ECONNREFUSED':
      return unreachable(`cannot connect to ${origin}: connection refused`)
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return unreachable(`cannot connect to ${origin}: no route to it`)
    case 'ETIMEDOUT':
    case 'UND_ERR_CONNECT_TIMEOUT':
      return unreachable(`cannot connect to ${origin}: timed out`)
    case 'ENOTFOUND':
      return unreachable(`cannot find host ${missing}: no such name in DNS`, false)
    case 'EAI_AGAIN':
      return unreachable(`cannot find host ${missing}: the node's DNS does not answer`)
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return passing(`no byte from ${origin} for ${idleTimeoutMs / 1000} s`)
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return lasting(
        `cannot trust ${origin}: its certificate is ${code === 'CERT_HAS_EXPIRED' ? 'expired' : 'not valid yet'}`,
      )
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return lasting(`cannot trust ${origin}: its certificate is for other names`)
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return lasting(
        `${origin} does not speak TLS; plain HTTP needs server = "http://${url.host}" in the hosts.toml of the registry`,
      )
    default:
      if (code !== undefined && UNTRUSTED.includes(code)) {
        return lasting(
          `cannot trust ${origin}: its certificate is signed by an unknown authority (${code}); name the authority's certificate as "ca" in the hosts.toml of the registry`,
        )
      }
      return passing(`connection to ${origin} broke${code === undefined ? '' : ` (${code})`}`)
  }
}

// Reasons of OpenSSL's certificate verification, as Node names them.
const UNTRUSTED = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'CERT_REJECTED',
  'CERT_CHAIN_TOO_LONG',
  'INVALID_CA',
  'INVALID_PURPOSE',
]

function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' && /^[A-Z0-9_]{1,64}$/.test(error.code)
    ? error.code
    : undefined
}

/** What a proxy answered instead of letting us through: undici says it in words only. */
function proxyStatus(error: unknown): number | undefined {
  const [, status] =
    /^Proxy (?:response|Authentication Required) \((\d{3})\)/.exec(
      error instanceof Error ? error.message : '',
    ) ?? []
  return status === undefined ? undefined : Number(status)
}

/** A parser's error carries the bytes it could not read: an answer of the server, which no log may hold. */
function withoutPayload(error: unknown, code: string | undefined): unknown {
  return error instanceof Error && 'data' in error
    ? new Error(`${error.name} ${code ?? ''}`.trim())
    : error
}

import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net'
import { connect as connectTls, type SecureContext } from 'node:tls'
import { checkLiteral, guardedLookup, type NoteReach } from '../../../common/oci/address-guard.ts'
import type { Target } from '../../../common/oci/redirect.ts'

/** Whom a socket connects to. */
export interface SocketOptions {
  readonly target: Pick<Target, 'url' | 'tls' | 'reach' | 'dialTimeoutMs'>
  /** For servers with an authority that is not the system's, or that want a certificate of ours. */
  readonly secureContext: SecureContext | undefined
  readonly noteReach: NoteReach
}

/**
 * Begins to connect, to an address that may be contacted and, with TLS, to a server whose certificate is trusted; else the socket ends
 * with an error.
 *
 * @throws for an address in the URL that may not be contacted
 */
export function openSocket(
  { target: { url, tls, reach }, secureContext, noteReach }: SocketOptions,
  onread: OnReadOpts,
): Socket {
  checkLiteral(url, reach, noteReach)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const secure = url.protocol === 'https:'
  const port = Number(url.port) || (secure ? 443 : 80)
  const tcp = { host, port, onread, lookup: guardedLookup(reach, noteReach) }
  if (!secure) return connectTcp(tcp)
  return connectTls({
    ...tcp,
    // An address is no server name (RFC 6066 section 3); its certificate is checked against the host all the same.
    ...(isIP(host) === 0 && { servername: host }),
    ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: tls.verify,
    ...(secureContext !== undefined && { secureContext }),
  })
}

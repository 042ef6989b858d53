import { createHash } from 'node:crypto'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import type { TlsSettings } from './hosts.ts'

/** The same text for the same settings: what may share a connection. */
export function trustKey({ ca, verify, client = [] }: TlsSettings): string {
  const hash = createHash('sha256')
  for (const pem of ca) hash.update(pem).update('\0')
  // A connection speaks for whoever showed a certificate on it.
  for (const { cert, key } of client) hash.update('\0').update(cert).update('\0').update(key)
  return `${verify} ${hash.digest('hex')}`
}

/**
 * What a server's certificate is checked against, the authorities of the system and those of the settings, and the certificates that it is
 * shown. To be made once for many connections: reading the system's certificates costs tens of milliseconds.
 *
 * @returns undefined where Node's own context does: nothing is set
 */
export function secureContextOf({ ca, client = [] }: TlsSettings): SecureContext | undefined {
  if (ca.length === 0 && client.length === 0) return undefined
  return createSecureContext({
    ca: [...getCACertificates('default'), ...ca],
    ...(client.length > 0 && {
      cert: client.map(({ cert }) => cert),
      key: client.map(({ key }) => key),
    }),
  })
}

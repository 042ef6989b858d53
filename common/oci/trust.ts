import { createHash } from 'node:crypto'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import type { TlsSettings } from './hosts.ts'

/** The same text for the same settings: what may share a connection. */
export function trustKey({ ca, verify }: TlsSettings): string {
  const hash = createHash('sha256')
  for (const pem of ca) hash.update(pem).update('\0')
  return `${verify} ${hash.digest('hex')}`
}

/**
 * What a server's certificate is checked against: the authorities of the system and those of the settings. To be made once for many
 * connections: reading the system's certificates costs tens of milliseconds.
 */
export function secureContextOf({ ca }: TlsSettings): SecureContext {
  return createSecureContext({ ca: [...getCACertificates('default'), ...ca] })
}

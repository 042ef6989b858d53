import { X509Certificate } from 'node:crypto'

const BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g

/** Reads the certificates of a PEM text, in order. @throws the error of OpenSSL for one that is malformed */
export function parseCertificates(pem: string): readonly X509Certificate[] {
  return [...pem.matchAll(BLOCK)].map(([block]) => new X509Certificate(block))
}

/** Answers whether a chain, the server's own certificate first, leads to one of the authorities that somebody trusts. Dates are another matter. */
export function leadsTo(
  chain: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): boolean {
  for (const [index, certificate] of chain.entries()) {
    if (authorities.some((one) => isSame(one, certificate) || isSigned(certificate, one))) {
      return true
    }
    const next = chain[index + 1]
    if (next === undefined || !isSigned(certificate, next)) return false
  }
  return false
}

function isSame(one: X509Certificate, other: X509Certificate): boolean {
  return one.fingerprint256 === other.fingerprint256
}

function isSigned(certificate: X509Certificate, by: X509Certificate): boolean {
  return certificate.checkIssued(by) && certificate.verify(by.publicKey)
}

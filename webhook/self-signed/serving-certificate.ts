import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import {
  bitString,
  boolean,
  context,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  set,
  time,
  utf8String,
} from './der.ts'

/** A server's certificate and key, and the authority that signed it; all PEM. */
export interface ServingCertificate {
  readonly cert: string
  /** PKCS #8. */
  readonly key: string
  /** What clients trust. Its key is nowhere: it signs once. */
  readonly authority: string
  readonly expires: Date
}

/** The clocks of API servers may be behind. */
const BACKDATED_MS = 3_600_000
const OID = {
  commonName: '2.5.4.3',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
} as const
/** Tag of a `dNSName` in a subject alternative name. */
const DNS_NAME = 2
const KEY_CERT_SIGN = bitString(Buffer.from([0x04]), 2)
const DIGITAL_SIGNATURE = bitString(Buffer.from([0x80]), 7)

/**
 * Makes an authority, signs one server certificate with it, and forgets its key: nobody can ever sign a second one. ECDSA on P-256.
 *
 * @param options.dnsNames what clients call the server, e.g. `["oras-csi-webhook.oras-csi.svc"]`
 * @see https://www.rfc-editor.org/rfc/rfc5280#section-4.1
 */
export function makeServingCertificate(options: {
  readonly dnsNames: readonly string[]
  readonly validForMs: number
  readonly nowMs?: number
}): ServingCertificate {
  const { dnsNames, validForMs, nowMs = Date.now() } = options
  // A certificate's times are whole seconds.
  const nowSeconds = Math.floor(nowMs / 1000) * 1000
  const validity = [new Date(nowSeconds - BACKDATED_MS), new Date(nowSeconds + validForMs)] as const
  const signer = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const server = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signerId = keyIdentifier(signer.publicKey)
  // Each authority has its own name: while two are trusted, no verifier takes one for the other.
  const signerName = `oras-csi authority ${signerId.toString('hex').slice(0, 16)}`
  const issued = { issuer: signerName, signedBy: signer.privateKey, validity }
  const authority = certificate({
    ...issued,
    subject: signerName,
    publicKey: signer.publicKey,
    extensions: [
      extension(OID.basicConstraints, sequence(boolean(true), integer(Buffer.from([0]))), true),
      extension(OID.keyUsage, KEY_CERT_SIGN, true),
      extension(OID.subjectKeyIdentifier, octetString(signerId)),
    ],
  })
  const names = dnsNames.map((name) => context(DNS_NAME, Buffer.from(name), 'primitive'))
  const cert = certificate({
    ...issued,
    subject: 'oras-csi-webhook',
    publicKey: server.publicKey,
    extensions: [
      extension(OID.basicConstraints, sequence(), true),
      extension(OID.keyUsage, DIGITAL_SIGNATURE, true),
      extension(OID.extKeyUsage, sequence(objectIdentifier(OID.serverAuth))),
      extension(OID.subjectAltName, sequence(...names)),
      extension(OID.subjectKeyIdentifier, octetString(keyIdentifier(server.publicKey))),
      extension(OID.authorityKeyIdentifier, sequence(context(0, signerId, 'primitive'))),
    ],
  })
  return {
    cert,
    key: server.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    authority,
    expires: validity[1],
  }
}

function certificate(options: {
  readonly issuer: string
  readonly subject: string
  readonly validity: readonly [Date, Date]
  readonly publicKey: KeyObject
  readonly signedBy: KeyObject
  readonly extensions: readonly Buffer[]
}): string {
  const algorithm = sequence(objectIdentifier(OID.ecdsaWithSha256))
  const content = sequence(
    // Version 3.
    context(0, integer(Buffer.from([2]))),
    integer(randomBytes(16)),
    algorithm,
    name(options.issuer),
    sequence(...options.validity.map(time)),
    name(options.subject),
    options.publicKey.export({ type: 'spki', format: 'der' }),
    context(3, sequence(...options.extensions)),
  )
  const signature = sign('sha256', content, options.signedBy)
  return pem(sequence(content, algorithm, bitString(signature)))
}

function name(commonName: string): Buffer {
  return sequence(set(sequence(objectIdentifier(OID.commonName), utf8String(commonName))))
}

function extension(oid: string, value: Buffer, critical = false): Buffer {
  const flag = critical ? [boolean(true)] : []
  return sequence(objectIdentifier(oid), ...flag, octetString(value))
}

/** The leftmost 160 bits of a hash over the key. @see https://www.rfc-editor.org/rfc/rfc7093#section-2 */
function keyIdentifier(publicKey: KeyObject): Buffer {
  const key = publicKey.export({ type: 'spki', format: 'der' })
  return createHash('sha256').update(key).digest().subarray(0, 20)
}

function pem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

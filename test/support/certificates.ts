// @peculiar/x509 wires itself with tsyringe, which wants this polyfill first.
import 'reflect-metadata'
import { randomBytes, webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type GeneralNameType,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'

/** A private key (PKCS #8) and its certificate, both PEM. */
export interface KeyPair {
  readonly key: string
  readonly cert: string
}

/** A certificate authority of a test. */
export interface CertificateAuthority {
  /** PEM: what a client trusts. */
  readonly cert: string
  /** Issues a certificate for servers and clients. */
  issue(options: LeafOptions): Promise<KeyPair>
}

/** What a certificate is to say. */
export interface LeafOptions {
  /** DNS names and IP addresses, e.g. `["localhost", "127.0.0.1", "*.example.test"]`. */
  readonly names: readonly string[]
  /** Default an hour ago. */
  readonly notBefore?: Date
  /** Default in a day. */
  readonly notAfter?: Date
  /** Default the first name. */
  readonly commonName?: string
}

// P-256: a key takes a millisecond, an RSA key up to a second.
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const HOUR_MS = 3_600_000

/** Makes a certificate authority that is valid for a day. */
export async function createCertificateAuthority(
  commonName = 'oras-csi test authority',
): Promise<CertificateAuthority> {
  const keys = await generateKeys()
  const authority = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=${commonName}`,
    ...validity({}),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return {
    cert: `${authority.toString('pem')}\n`,
    issue: async (options) => {
      const leafKeys = await generateKeys()
      const certificate = await X509CertificateGenerator.create({
        serialNumber: serialNumber(),
        subject: `CN=${options.commonName ?? options.names[0] ?? 'oras-csi test'}`,
        issuer: authority.subject,
        ...validity(options),
        publicKey: leafKeys.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: ALGORITHM,
        extensions: [
          new BasicConstraintsExtension(false, undefined, true),
          new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
          new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
          new SubjectAlternativeNameExtension(
            options.names.map((value) => ({ type: nameType(value), value })),
          ),
          await SubjectKeyIdentifierExtension.create(leafKeys.publicKey),
          await AuthorityKeyIdentifierExtension.create(keys.publicKey),
        ],
      })
      return {
        key: `${await exportKey(leafKeys.privateKey)}\n`,
        cert: `${certificate.toString('pem')}\n`,
      }
    },
  }
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')
}

function validity(options: Pick<LeafOptions, 'notBefore' | 'notAfter'>) {
  return {
    notBefore: options.notBefore ?? new Date(Date.now() - HOUR_MS),
    notAfter: options.notAfter ?? new Date(Date.now() + 24 * HOUR_MS),
  }
}

function nameType(name: string): GeneralNameType {
  return isIP(name) === 0 ? 'dns' : 'ip'
}

/** Hex; positive, since the leading byte stays below 0x80. */
function serialNumber(): string {
  return `01${randomBytes(15).toString('hex')}`
}

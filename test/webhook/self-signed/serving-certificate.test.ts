// @peculiar/x509 wires itself with tsyringe, which wants this polyfill first.
import 'reflect-metadata'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer } from 'node:tls'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509Certificate as Parsed,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
} from '@peculiar/x509'
import { describe, expect, test } from 'vitest'
import { makeServingCertificate } from '../../../webhook/self-signed/serving-certificate.ts'

const NAME = 'oras-csi-webhook.oras-csi.svc'
const DAY_MS = 86_400_000
const NOW_MS = Date.parse('2026-05-01T10:00:00.500Z')
const made = makeServingCertificate({ dnsNames: [NAME], validForMs: 90 * DAY_MS, nowMs: NOW_MS })

describe('a serving certificate', () => {
  test('is what another reader of X.509 takes it for', () => {
    const cert = new Parsed(made.cert)
    const authority = new Parsed(made.authority)
    expect(cert.subject).toBe('CN=oras-csi-webhook')
    expect(cert.issuer).toBe(authority.subject)
    expect(authority.subject).toMatch(/^CN=oras-csi authority [0-9a-f]{16}$/)
    expect([cert.notBefore, cert.notAfter]).toEqual([
      new Date('2026-05-01T09:00:00Z'),
      new Date('2026-07-30T10:00:00Z'),
    ])
    expect([authority.notBefore, authority.notAfter]).toEqual([cert.notBefore, cert.notAfter])
    expect(made.expires).toEqual(cert.notAfter)
    expect(cert.serialNumber).not.toBe(authority.serialNumber)

    expect(authority.getExtension(BasicConstraintsExtension)).toMatchObject({
      ...{ ca: true, pathLength: 0, critical: true },
    })
    expect(cert.getExtension(BasicConstraintsExtension)).toMatchObject({
      ca: false,
      critical: true,
    })
    expect(authority.getExtension(KeyUsagesExtension)?.usages).toBe(KeyUsageFlags.keyCertSign)
    expect(cert.getExtension(KeyUsagesExtension)?.usages).toBe(KeyUsageFlags.digitalSignature)
    expect(cert.getExtension(ExtendedKeyUsageExtension)?.usages).toEqual(['1.3.6.1.5.5.7.3.1'])
    expect(cert.getExtension(SubjectAlternativeNameExtension)?.names.toJSON()).toEqual([
      { type: 'dns', value: NAME },
    ])
    const signer = authority.getExtension(SubjectKeyIdentifierExtension)?.keyId
    expect(cert.getExtension(AuthorityKeyIdentifierExtension)?.keyId).toBe(signer)
    expect(cert.getExtension(SubjectKeyIdentifierExtension)?.keyId).not.toBe(signer)
  })

  test('is signed by its authority, for its key', async () => {
    const cert = new X509Certificate(made.cert)
    const authority = new X509Certificate(made.authority)
    expect(cert.checkIssued(authority)).toBe(true)
    expect(cert.verify(authority.publicKey)).toBe(true)
    expect(authority.verify(authority.publicKey)).toBe(true)
    expect(cert.checkPrivateKey(createPrivateKey(made.key))).toBe(true)
    expect(authority.checkPrivateKey(createPrivateKey(made.key))).toBe(false)
  })

  test('is taken by a client that trusts its authority, beside an older one, and by no other', async () => {
    const now = makeServingCertificate({ dnsNames: [NAME], validForMs: DAY_MS })
    const older = makeServingCertificate({ dnsNames: [NAME], validForMs: DAY_MS })
    const server = createServer({ cert: now.cert, key: now.key }, (socket) => socket.end())
    server.on('tlsClientError', () => {})
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    const asked = async (ca: string, servername: string) => {
      const socket = connect({ host: '127.0.0.1', port, ca, servername })
      try {
        await once(socket, 'secureConnect')
        return 'trusted'
      } catch (error) {
        return error instanceof Error && 'code' in error ? error.code : String(error)
      } finally {
        socket.destroy()
      }
    }
    expect(await asked(now.authority, NAME)).toBe('trusted')
    expect(await asked(older.authority + now.authority, NAME)).toBe('trusted')
    expect(await asked(older.authority, NAME)).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE')
    expect(await asked(now.authority, 'other.oras-csi.svc')).toBe('ERR_TLS_CERT_ALTNAME_INVALID')
    server.close()
  })
})

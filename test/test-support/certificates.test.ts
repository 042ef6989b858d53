import { X509Certificate } from 'node:crypto'
import { Agent, request } from 'undici'
import { expect, test } from 'vitest'
import { artifact, push } from '../support/artifact.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { startRegistry } from '../support/registry.ts'

async function statusOf(url: string, connect: object): Promise<unknown> {
  const dispatcher = new Agent({ connect })
  try {
    const { statusCode, body } = await request(url, { dispatcher })
    await body.dump()
    return statusCode
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error
  } finally {
    await dispatcher.close()
  }
}

test.each([
  { names: ['127.0.0.1'], host: '127.0.0.1', answer: 200 },
  { names: ['localhost'], host: 'localhost', answer: 200 },
  { names: ['127.0.0.1'], host: 'localhost', answer: 'ERR_TLS_CERT_ALTNAME_INVALID' },
  { names: ['localhost'], host: '127.0.0.1', answer: 'ERR_TLS_CERT_ALTNAME_INVALID' },
])('a certificate for $names gives $answer at $host', async ({ names, host, answer }) => {
  const authority = await createCertificateAuthority()
  await using registry = await startRegistry({ tls: await authority.issue({ names }) })
  const url = `https://${host}:${registry.port}/v2/`
  expect(await statusOf(url, { ca: authority.cert })).toBe(answer)
})

test('a certificate is not trusted by those who do not trust its authority', async () => {
  const authority = await createCertificateAuthority()
  const tls = await authority.issue({ names: ['127.0.0.1'] })
  await using registry = await startRegistry({ tls })
  expect(await statusOf(registry.url, {})).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE')
  const other = await createCertificateAuthority()
  expect(await statusOf(registry.url, { ca: other.cert })).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE')
  await push(registry.url, 'acme/app:v1', artifact({ layers: [] }), { ca: authority.cert })
})

test('a certificate says when it is valid', async () => {
  const authority = await createCertificateAuthority()
  const notBefore = new Date('2020-01-01T00:00:00Z')
  const notAfter = new Date('2020-01-02T00:00:00Z')
  const { cert } = await authority.issue({ names: ['*.example.test', '::1'], notBefore, notAfter })
  const parsed = new X509Certificate(cert)
  expect([parsed.validFromDate, parsed.validToDate]).toEqual([notBefore, notAfter])
  expect(parsed.checkHost('a.example.test')).toBeDefined()
  expect(parsed.checkIP('::1')).toBe('::1')
  expect(parsed.verify(new X509Certificate(authority.cert).publicKey)).toBe(true)
})

test('a registry with a client authority refuses connections without a certificate', async () => {
  const authority = await createCertificateAuthority()
  const tls = await authority.issue({ names: ['127.0.0.1'] })
  await using registry = await startRegistry({ tls: { ...tls, clientCa: authority.cert } })
  const client = await authority.issue({ names: ['node-1'] })
  const ca = authority.cert
  expect(await statusOf(`${registry.url}/v2/`, { ca, ...client })).toBe(200)
  expect(await statusOf(`${registry.url}/v2/`, { ca })).toMatch(
    /CERTIFICATE_REQUIRED|UND_ERR_SOCKET|ECONNRESET/,
  )
})

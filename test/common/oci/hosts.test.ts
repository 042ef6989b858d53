import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { createHosts, type HostsOptions } from '../../../common/oci/hosts.ts'
import { createCertificateAuthority } from '../../support/certificates.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts'

const VERIFIED = { ca: [], verify: true }

async function put(directory: TemporaryDirectory, path: string, text: string): Promise<string> {
  const file = directory.file(...path.split('/'))
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, text)
  return file
}

async function serverOf(registry: string, options: HostsOptions) {
  const { mirrors, server } = await createHosts(options).lookup(registry)
  expect(mirrors).toStrictEqual([])
  return server
}

describe('without configuration', () => {
  test.each([
    ['ghcr.io', 'https://ghcr.io/v2'],
    ['localhost:5000', 'https://localhost:5000/v2'],
    ['docker.io', 'https://registry-1.docker.io/v2'],
  ])('%s is reached over verified TLS', async (registry, base) => {
    expect(await serverOf(registry, {})).toStrictEqual({ base, tls: VERIFIED, configured: false })
  })

  test.each([
    ['localhost:5000', 'http://localhost:5000/v2', true],
    ['localhost', 'http://localhost/v2', true],
    ['127.0.0.1:5000', 'http://127.0.0.1:5000/v2', true],
    ['127.8.8.8', 'http://127.8.8.8/v2', true],
    ['[::1]:5000', 'http://[::1]:5000/v2', true],
    ['128.0.0.1', 'https://128.0.0.1/v2', false],
    ['localhost.example.com', 'https://localhost.example.com/v2', false],
    ['127.0.0.1.example.com', 'https://127.0.0.1.example.com/v2', false],
  ])('the CLI reaches %s at %s', async (registry, base, configured) => {
    expect(await serverOf(registry, { plainHttpLoopback: true })).toStrictEqual({
      base,
      tls: VERIFIED,
      configured,
    })
  })

  test('a directory that is not there, or has nothing for the host, is no configuration', async () => {
    await using directory = await temporaryDirectory()
    await put(directory, 'quay.io/hosts.toml', 'server = "https://other"')
    await mkdir(directory.file('ghcr.io'))
    for (const root of [directory.path, directory.file('absent')]) {
      expect(await serverOf('ghcr.io', { directory: root })).toStrictEqual({
        base: 'https://ghcr.io/v2',
        tls: VERIFIED,
        configured: false,
      })
    }
  })
})

describe('hosts.toml', () => {
  test.each([
    ['server = "https://mirror.example.com"', 'https://mirror.example.com/v2', true],
    ['server = "http://127.0.0.1:5000/"', 'http://127.0.0.1:5000/v2', true],
    ['server = "mirror.example.com:8443"', 'https://mirror.example.com:8443/v2', true],
    [
      'server = "https://harbor.example.com/v2/proxy"',
      'https://harbor.example.com/v2/proxy/v2',
      true,
    ],
    ['server = "https://harbor.example.com/api/v2/"', 'https://harbor.example.com/api/v2', true],
    [
      'override_path = true\nserver = "https://h.example.com/proxy"',
      'https://h.example.com/proxy',
      true,
    ],
    ['skip_verify = true', 'https://reg.example.com:5000/v2', false],
    ['server = ""', 'https://reg.example.com:5000/v2', true],
    ['', 'https://reg.example.com:5000/v2', true],
  ])('%j gives %s', async (text, base, verify) => {
    await using directory = await temporaryDirectory()
    await put(directory, 'reg.example.com:5000/hosts.toml', text)
    expect(await serverOf('reg.example.com:5000', { directory: directory.path })).toStrictEqual({
      base,
      tls: { ca: [], verify },
      configured: true,
    })
  })

  test('host_port_ wins over host:port, and both over _default', async () => {
    await using directory = await temporaryDirectory()
    const options = { directory: directory.path }
    await put(directory, '_default/hosts.toml', 'server = "https://default"')
    expect((await serverOf('h:5000', options)).base).toBe('https://default/v2')
    await put(directory, 'h:5000/hosts.toml', 'server = "https://colon"')
    expect((await serverOf('h:5000', options)).base).toBe('https://colon/v2')
    await put(directory, 'h_5000_/hosts.toml', 'server = "https://underscore"')
    expect((await serverOf('h:5000', options)).base).toBe('https://underscore/v2')
    expect((await serverOf('h', options)).base).toBe('https://default/v2')
  })

  test('reads CA files beside it and elsewhere', async () => {
    await using directory = await temporaryDirectory()
    const [one, two] = await Promise.all([
      createCertificateAuthority('one'),
      createCertificateAuthority('two'),
    ])
    const absolute = await put(directory, 'pki/two.pem', `comment\n${two.cert}\n${one.cert}`)
    await put(directory, 'h/ca.crt', one.cert)
    await put(directory, 'h/hosts.toml', `ca = ["ca.crt", "${absolute}"]`)
    const { tls } = await serverOf('h', { directory: directory.path })
    expect(tls).toStrictEqual({
      ca: [one.cert.trim(), `${two.cert.trim()}\n${one.cert.trim()}`],
      verify: true,
    })
  })

  test('is read again when it, or a CA file, changed, and only then', async () => {
    await using directory = await temporaryDirectory()
    const [one, two] = await Promise.all([
      createCertificateAuthority(),
      createCertificateAuthority(),
    ])
    await put(directory, 'h/ca.crt', one.cert)
    const file = await put(directory, 'h/hosts.toml', 'server = "https://one"\nca = "ca.crt"')
    const hosts = createHosts({ directory: directory.path })
    const first = await hosts.lookup('h')
    expect(await hosts.lookup('h')).toBe(first)
    await put(directory, 'h/ca.crt', two.cert)
    expect((await hosts.lookup('h')).server.tls.ca).toStrictEqual([two.cert.trim()])
    await put(directory, 'h/hosts.toml', 'server = "https://second"')
    expect((await hosts.lookup('h')).server.base).toBe('https://second/v2')
    await rm(file)
    expect((await hosts.lookup('h')).server).toStrictEqual({
      base: 'https://h/v2',
      tls: VERIFIED,
      configured: false,
    })
  })

  test('an empty host table, which containerd 1.6 wants, is no cause for a warning', async () => {
    await using directory = await temporaryDirectory()
    await put(directory, 'h/hosts.toml', 'server = "http://h"\n[host]\n')
    const warnings: string[] = []
    const warn = (message: string) => warnings.push(message)
    const { server } = await createHosts({ directory: directory.path, warn }).lookup('h')
    expect([server.base, warnings]).toStrictEqual(['http://h/v2', []])
  })

  test('warns once of what has no effect', async () => {
    await using directory = await temporaryDirectory()
    const text = [
      'server = "https://h"',
      'capabilities = ["pull"]',
      'client = "client.pem"',
      'skip_verfy = true',
      '[host."http://127.0.0.1:5000"]',
      '  capabilities = ["pull", "resolve"]',
    ].join('\n')
    const file = await put(directory, 'h/hosts.toml', text)
    const warnings: string[] = []
    const hosts = createHosts({
      directory: directory.path,
      warn: (message) => warnings.push(message.replace(file, 'FILE')),
    })
    await hosts.lookup('h')
    await hosts.lookup('h')
    expect(warnings).toStrictEqual([
      'FILE: line 3: "client" is not supported yet and has no effect',
      'FILE: line 4: "skip_verfy" is not a setting and has no effect; did you mean "skip_verify"?',
      'FILE: line 5: "host" sections (mirrors) are not supported yet and have no effect; the server is asked',
    ])
  })

  test.each([
    [
      'server = "https://a"\nserver = 1',
      'Invalid "FILE" line 2: trying to redefine an already defined table or value',
    ],
    [
      'server = "https://a"\n[header]\nAuthorization = "Basic c2VjcmV0',
      'Invalid "FILE" line 3: unfinished string',
    ],
    ['\nserver = 5', 'Invalid "FILE" line 2: "server": expected a string'],
    [
      'server = "ftp://x"',
      'Invalid "FILE" line 1: "server": expected a URL, e.g. "https://registry.example.com"',
    ],
    [
      'server = "https://u:p@x"',
      'Invalid "FILE" line 1: "server": expected a URL, e.g. "https://registry.example.com"',
    ],
    [
      'server = "https://x/?a=b"',
      'Invalid "FILE" line 1: "server": expected a URL, e.g. "https://registry.example.com"',
    ],
    [
      '# x\n\nca = [1]',
      'Invalid "FILE" line 3: "ca": expected the path of a PEM file, or a list of paths',
    ],
    ['skip_verify = "yes"', 'Invalid "FILE" line 1: "skip_verify": expected true or false'],
    ['ca = "absent.pem"', 'Cannot read "DIR/absent.pem": ENOENT'],
    ['ca = "hosts.toml"', 'Cannot use "FILE": no PEM certificate in it'],
    ['ca = "bad.pem"', 'Cannot use "DIR/bad.pem": not a certificate'],
  ])('refuses %j', async (text, message) => {
    await using directory = await temporaryDirectory()
    await put(
      directory,
      'h/bad.pem',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    )
    const file = await put(directory, 'h/hosts.toml', text)
    const error = await createHosts({ directory: directory.path })
      .lookup('h')
      .catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'INVALID' })
    expect(String(error)).toBe(
      `CodedError: ${message.replace('FILE', file).replace('DIR', dirname(file))}`,
    )
    expect(inspect(error)).not.toContain('c2VjcmV0')
  })

  test.each(['../x', '..', 'a/b', '.hidden', ''])(
    'a path for a registry host: %j',
    async (host) => {
      await using directory = await temporaryDirectory()
      await expect(createHosts({ directory: directory.path }).lookup(host)).rejects.toMatchObject({
        code: 'INVALID',
        message: `Invalid registry host ${JSON.stringify(host)}`,
      })
    },
  )
})

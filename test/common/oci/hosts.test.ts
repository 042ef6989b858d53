import { mkdir, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { createHosts } from '../../../common/oci/hosts.ts'
import { createCertificateAuthority } from '../../support/certificates.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { PLAIN_HOST, PLAIN_MIRROR, put, serverOf } from './hosts-fixture.ts'

const URL_EXPECTED =
  'expected a URL, e.g. "https://registry.example.com", "oci-layout:///srv/artifacts" or "oci-layout+https://files.example.com/artifacts"'
const UNCONFIGURED = { ...PLAIN_HOST, configured: false }

describe('without configuration', () => {
  test.each([
    ['ghcr.io', 'https://ghcr.io/v2'],
    ['localhost:5000', 'https://localhost:5000/v2'],
    ['docker.io', 'https://registry-1.docker.io/v2'],
  ])('%s is reached over verified TLS', async (registry, base) => {
    expect(await serverOf(registry, {})).toStrictEqual({ ...UNCONFIGURED, base })
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
      ...PLAIN_HOST,
      base,
      configured,
    })
  })

  test('a directory that is not there, or has nothing for the host, is no configuration', async () => {
    await using directory = await temporaryDirectory()
    await put(directory, 'quay.io/hosts.toml', 'server = "https://other"')
    await mkdir(directory.file('ghcr.io'))
    for (const root of [directory.path, directory.file('absent')]) {
      expect(await serverOf('ghcr.io', { directory: root })).toStrictEqual({
        ...UNCONFIGURED,
        base: 'https://ghcr.io/v2',
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
      ...PLAIN_HOST,
      base,
      tls: { ca: [], verify },
      ...(!base.startsWith('https://reg.example.com:5000/') && {
        namespace: 'reg.example.com:5000',
      }),
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
    expect((await hosts.lookup('h')).hosts).toMatchObject([{ tls: { ca: [two.cert.trim()] } }])
    await put(directory, 'h/hosts.toml', 'server = "https://second"')
    expect((await hosts.lookup('h')).hosts).toMatchObject([{ base: 'https://second/v2' }])
    await rm(file)
    // What is left is a directory of certificates.
    expect((await hosts.lookup('h')).hosts).toMatchObject([
      { base: 'https://h/v2', tls: { ca: [two.cert.trim()] } },
    ])
    await rm(dirname(file), { recursive: true })
    expect((await hosts.lookup('h')).hosts).toStrictEqual([
      { ...UNCONFIGURED, base: 'https://h/v2' },
    ])
  })

  test('an empty host table, which containerd 1.6 wants, is no cause for a warning', async () => {
    await using directory = await temporaryDirectory()
    await put(directory, 'h/hosts.toml', 'server = "http://h"\n[host]\n')
    const warnings: string[] = []
    const warn = (message: string) => warnings.push(message)
    const server = await serverOf('h', { directory: directory.path, warn })
    expect([server.base, warnings]).toStrictEqual(['http://h/v2', []])
  })

  test('warns once for each version of what has no effect', async () => {
    await using directory = await temporaryDirectory()
    const text = [
      'server = "https://h"',
      'capabilities = ["pull"]',
      'clinet = "client.pem"',
      'skip_verfy = true',
      '[host."http://127.0.0.1:5000"]',
      '  capabilities = ["pull", "resolve"]',
      '  skip_verify = true',
      '  dial_timeot = "1s"',
      "  [host.'http://127.0.0.1:5000'.header]",
      '    Host = "other"',
      '[host."oci-layout:///srv/artifacts"]',
      '  ca = "ca.crt"',
      '[host."oci-layout+https://files.example.com"]',
      '  override_path = true',
      '  [host."oci-layout+https://files.example.com".header]',
      '    User-Agent = "x"',
    ].join('\n')
    const file = await put(directory, 'h/hosts.toml', text)
    const warnings: string[] = []
    const hosts = createHosts({
      directory: directory.path,
      warn: (message) => warnings.push(message.replace(file, 'FILE')),
    })
    await hosts.lookup('h')
    await hosts.lookup('h')
    const expected = [
      'FILE: line 7: "skip_verify" has no effect over plain HTTP',
      'FILE: line 8: "dial_timeot" is not a setting and has no effect; did you mean "dial_timeout"?',
      'FILE: line 9: "Host" is set by the driver itself and has no effect',
      'FILE: line 12: "ca" has no effect for a directory',
      'FILE: line 14: "override_path" has no effect for an OCI layout',
      'FILE: line 15: "User-Agent" is set by the driver itself and has no effect',
      'FILE: line 3: "clinet" is not a setting and has no effect; did you mean "client"?',
      'FILE: line 4: "skip_verfy" is not a setting and has no effect; did you mean "skip_verify"?',
    ]
    expect(warnings).toStrictEqual(expected)
    await put(directory, 'h/hosts.toml', `${text}\n`)
    await hosts.lookup('h')
    expect(warnings).toStrictEqual([...expected, ...expected])
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
    ['server = "ftp://x"', `Invalid "FILE" line 1: "server": ${URL_EXPECTED}`],
    ['server = "https://u:p@x"', `Invalid "FILE" line 1: "server": ${URL_EXPECTED}`],
    ['server = "https://x/?a=b"', `Invalid "FILE" line 1: "server": ${URL_EXPECTED}`],
    [
      '# x\n\nca = [1]',
      'Invalid "FILE" line 3: "ca": expected the path of a PEM file, or a list of paths',
    ],
    ['skip_verify = "yes"', 'Invalid "FILE" line 1: "skip_verify": expected true or false'],
    [
      '[host]\n"https://m" = 5',
      'Invalid "FILE" line 1: "host": expected sections [host."https://..."]',
    ],
    ['server = "https://u:c2VjcmV0@x"', `Invalid "FILE" line 1: "server": ${URL_EXPECTED}`],
    ['\n[host."https://u:c2VjcmV0@x"]', `Invalid "FILE" line 2: ${URL_EXPECTED}`],
    ['\n[host."oci-layout://srv"]', `Invalid "FILE" line 2: ${URL_EXPECTED}`],
    ['[host."oci-layout:///srv/../etc"]', `Invalid "FILE" line 1: ${URL_EXPECTED}`],
    [
      '[host."https://m"]\ncapabilities = ["pull", "fetch"]',
      'Invalid "FILE" line 2: "capabilities": expected a list of "pull", "resolve" and "push"',
    ],
    [
      '[host."https://m"]\n[host."https://m".header]\nX-Token = ["c2VjcmV0", 5]',
      'Invalid "FILE" line 2: "header": "X-Token": expected a string, or a list of strings, without line breaks',
    ],
    [
      '[header]\nX-Token = "c2VjcmV0\\r\\nInjected: 1"',
      'Invalid "FILE" line 1: "header": "X-Token": expected a string, or a list of strings, without line breaks',
    ],
    [
      'dial_timeout = "5"',
      'Invalid "FILE" line 1: "dial_timeout": expected a duration, e.g. "500ms" or "3s"',
    ],
    [
      'dial_timeout = "-5s"',
      'Invalid "FILE" line 1: "dial_timeout": expected a duration, e.g. "500ms" or "3s"',
    ],
    [
      'proxy = "socks5://u:c2VjcmV0@x"',
      'Invalid "FILE" line 1: "proxy": expected the URL of an HTTP proxy, e.g. "http://proxy.example.com:3128"',
    ],
    [
      'client = [["a"]]',
      'Invalid "FILE" line 1: "client": expected the path of a PEM file with certificate and key, a list of such paths, or a list of pairs ["client.cert", "client.key"]',
    ],
    ['client = "other.pem"', 'Cannot use "DIR/other.pem": no PEM private key in it'],
    [
      'client = [["other.pem", "one.key"]]',
      'Cannot use "DIR/one.key": its key is not that of the certificate in "DIR/other.pem"',
    ],
    [
      'client = [["other.pem", "bad.key"]]',
      'Cannot use "DIR/bad.key": its private key is encrypted or malformed; expected a PEM key without a passphrase',
    ],
    [
      'oras_authoritative = 1',
      'Invalid "FILE" line 1: "oras_authoritative": expected true or false',
    ],
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
    const authority = await createCertificateAuthority()
    const [one, other] = [
      await authority.issue({ names: ['one'] }),
      await authority.issue({ names: ['other'] }),
    ]
    await put(directory, 'h/one.key', one.key)
    await put(directory, 'h/other.pem', other.cert)
    await put(
      directory,
      'h/bad.key',
      '-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----',
    )
    const file = await put(directory, 'h/hosts.toml', text)
    const error = await createHosts({ directory: directory.path })
      .lookup('h')
      .catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'INVALID' })
    expect(String(error)).toBe(
      `CodedError: ${message.replaceAll('FILE', file).replaceAll('DIR', dirname(file))}`,
    )
    expect(inspect(error)).not.toContain('c2VjcmV0')
  })

  test('warns of _default once, whatever registries are named', async () => {
    await using directory = await temporaryDirectory()
    await put(directory, '_default/hosts.toml', 'sever = "https://h"')
    const warnings: string[] = []
    const hosts = createHosts({ directory: directory.path, warn: (text) => warnings.push(text) })
    for (const registry of ['a', 'b', 'c']) await hosts.lookup(registry)
    expect(warnings).toHaveLength(1)
  })

  test('a file where the directory of a registry should be', async () => {
    await using directory = await temporaryDirectory()
    const file = await put(directory, 'h', '')
    await expect(createHosts({ directory: directory.path }).lookup('h')).rejects.toMatchObject({
      code: 'INVALID',
      message: `Cannot read "${file}": ENOTDIR`,
    })
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

describe('mirrors', () => {
  test("stand before the server, in the file's order", async () => {
    await using directory = await temporaryDirectory()
    await put(
      directory,
      'ghcr.io/hosts.toml',
      `
server = "https://ghcr.io"
dial_timeout = "1m1.5s"
[host."https://z.example.com"]
  capabilities = ["pull"]
  dial_timeout = "250ms"
  [host."https://z.example.com".header]
    X-One = "a"
    x-two = ["b", "c"]
[host."http://127.0.0.1:5000/v2/proxy"]
  override_path = true
  skip_verify = true
  oras_authoritative = true
  oras_pod_credentials = true
  proxy = "http://user:secret@proxy:3128"
[host."oci-layout:///srv/artifacts/"]
  capabilities = ["pull", "resolve"]
[host."oci-layout+https://files.example.com/artifacts/"]
[host."oci-layout+http://files.example.com"]
  oras_authoritative = true
`,
    )
    const { hosts } = await createHosts({ directory: directory.path }).lookup('ghcr.io')
    const { takesCredentials: _, ...layout } = PLAIN_MIRROR
    expect(hosts).toStrictEqual([
      {
        ...PLAIN_MIRROR,
        base: 'https://z.example.com/v2',
        capabilities: { pull: true, resolve: false },
        dialTimeoutMs: 250,
        headers: { 'x-one': 'a', 'x-two': 'b, c' },
        namespace: 'ghcr.io',
      },
      {
        ...PLAIN_HOST,
        base: 'http://127.0.0.1:5000/v2/proxy',
        tls: { ca: [], verify: false },
        namespace: 'ghcr.io',
        proxy: 'http://user:secret@proxy:3128/',
      },
      {
        kind: 'layout-directory',
        directory: '/srv/artifacts',
        capabilities: { pull: true, resolve: true },
        authoritative: false,
      },
      { ...layout, kind: 'layout-http', base: 'https://files.example.com/artifacts' },
      { ...layout, kind: 'layout-http', base: 'http://files.example.com', authoritative: true },
      { ...PLAIN_HOST, base: 'https://ghcr.io/v2', dialTimeoutMs: 61_500 },
    ])
  })

  test('the registry itself, written as a mirror, is none', async () => {
    await using directory = await temporaryDirectory()
    await put(
      directory,
      'reg_5000_/hosts.toml',
      '[host."http://reg:5000"]\n[host."http://reg:5001"]',
    )
    const { hosts } = await createHosts({ directory: directory.path }).lookup('reg:5000')
    expect(hosts).toStrictEqual([
      { ...PLAIN_HOST, base: 'http://reg:5000/v2' },
      { ...PLAIN_MIRROR, base: 'http://reg:5001/v2', namespace: 'reg:5000' },
      { ...PLAIN_HOST, base: 'https://reg:5000/v2' },
    ])
  })

  test('client certificates: one file, several, and pairs; each is read again when it changes', async () => {
    await using directory = await temporaryDirectory()
    const authority = await createCertificateAuthority()
    const [one, two] = [
      await authority.issue({ names: ['one'] }),
      await authority.issue({ names: ['two'] }),
    ]
    const trimmed = ({ cert, key }: typeof one) => ({ cert: cert.trim(), key: key.trim() })
    await put(directory, 'h/both.pem', one.key + one.cert)
    await put(directory, 'h/client.cert', two.cert)
    const key = await put(directory, 'h/client.key', two.key)
    await put(
      directory,
      'h/hosts.toml',
      `client = [["client.cert", "${key}"], ["both.pem", ""]]\n[host."https://m"]\nclient = ["both.pem"]\n[host."https://n"]\nclient = "both.pem"`,
    )
    const hosts = createHosts({ directory: directory.path })
    const clients = async () =>
      (await hosts.lookup('h')).hosts.map((host) => host.kind === 'registry' && host.tls.client)
    expect(await clients()).toStrictEqual([
      [trimmed(one)],
      [trimmed(one)],
      [trimmed(two), trimmed(one)],
    ])
    await put(directory, 'h/both.pem', two.key + two.cert)
    expect(await clients()).toStrictEqual([
      [trimmed(two)],
      [trimmed(two)],
      [trimmed(two), trimmed(two)],
    ])
  })

  test("certificates by Docker's pattern stand in for a hosts.toml", async () => {
    await using directory = await temporaryDirectory()
    const authority = await createCertificateAuthority()
    const pair = await authority.issue({ names: ['client'] })
    await put(directory, 'h/ca.crt', authority.cert)
    await put(directory, 'h/client.cert', pair.cert)
    await put(directory, 'h/client.key', pair.key)
    expect(await serverOf('h', { directory: directory.path })).toStrictEqual({
      ...PLAIN_HOST,
      base: 'https://h/v2',
      tls: {
        ca: [authority.cert.trim()],
        verify: true,
        client: [{ cert: pair.cert.trim(), key: pair.key.trim() }],
      },
    })
  })
})

// Whoever writes a reference chooses the host where "_default" names no server.
describe('SSRF: _default', () => {
  test('does not count as the naming of a host that only the reference names', async () => {
    await using directory = await temporaryDirectory()
    await put(directory, '_default/hosts.toml', '[host."http://127.0.0.1:5000"]')
    const { hosts } = await createHosts({ directory: directory.path }).lookup('169.254.169.254')
    expect(hosts).toStrictEqual([
      { ...PLAIN_MIRROR, base: 'http://127.0.0.1:5000/v2', namespace: '169.254.169.254' },
      { ...UNCONFIGURED, base: 'https://169.254.169.254/v2' },
    ])
  })

  test('sends neither headers nor client certificates to whatever host a pod names, and warns of them', async () => {
    await using directory = await temporaryDirectory()
    const authority = await createCertificateAuthority()
    const pair = await authority.issue({ names: ['node'] })
    await put(directory, '_default/client.pem', pair.cert + pair.key)
    const settings =
      'client = "client.pem"\n[header]\nAuthorization = "Basic c2VjcmV0"\n[host."https://mirror"]\n[host."https://mirror".header]\nX-Token = "t"\n'
    const file = await put(directory, '_default/hosts.toml', settings)
    const warnings: string[] = []
    const options = { directory: directory.path, warn: (text: string) => warnings.push(text) }
    const { hosts } = await createHosts(options).lookup('evil.example')
    expect(hosts).toStrictEqual([
      {
        ...PLAIN_MIRROR,
        base: 'https://mirror/v2',
        namespace: 'evil.example',
        headers: { 'x-token': 't' },
      },
      { ...UNCONFIGURED, base: 'https://evil.example/v2' },
    ])
    expect(warnings).toStrictEqual([
      `${file}: "header" has no effect in "_default" without "server": it would be sent to whatever host a pod names`,
      `${file}: "client" has no effect in "_default" without "server": it would be sent to whatever host a pod names`,
    ])
    // A server that the admin names gets them.
    await put(directory, '_default/hosts.toml', `server = "https://cache"\n${settings}`)
    expect((await createHosts(options).lookup('evil.example')).hosts.at(-1)).toMatchObject({
      base: 'https://cache/v2',
      headers: { authorization: 'Basic c2VjcmV0' },
      tls: { client: [{ cert: pair.cert.trim() }] },
    })
    expect(warnings).toHaveLength(2)
  })

  test('where private networks are forbidden, they are for what is not configured', async () => {
    await using directory = await temporaryDirectory()
    await put(directory, '_default/hosts.toml', '')
    await put(directory, 'named/hosts.toml', 'server = "https://named"')
    const options = { directory: directory.path, forbidPrivateNetworks: true }
    expect(await serverOf('10.0.0.1', options)).toMatchObject({
      configured: false,
      publicOnly: true,
    })
    expect(await serverOf('10.0.0.1', { forbidPrivateNetworks: true })).toMatchObject({
      configured: false,
      publicOnly: true,
    })
    expect(await serverOf('named', options)).toStrictEqual({
      ...PLAIN_HOST,
      base: 'https://named/v2',
    })
  })
})

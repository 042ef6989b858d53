import dns from 'node:dns'
import { createServer } from 'node:http'
import { syncBuiltinESMExports } from 'node:module'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { CallOptions } from '../../../common/oci/artifact-source.ts'
import { createHosts } from '../../../common/oci/hosts.ts'
import { readProxies } from '../../../common/oci/proxy.ts'
import {
  createRegistrySource,
  type RegistrySourceOptions,
} from '../../../common/oci/registry-source.ts'
import { createTransport } from '../../../common/oci/transport.ts'
import { artifact, load } from '../../support/artifact.ts'
import { createCertificateAuthority } from '../../support/certificates.ts'
import { startProxy } from '../../support/proxy.ts'
import { type RegistryOptions, startRegistry, type TestRegistry } from '../../support/registry.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts'
import { anonymously } from './artifact-source.conformance.ts'
import { put } from './hosts-fixture.ts'

const BUILT = artifact({ layers: [{ title: 'a', content: 'layer' }] })
const MANIFESTS = '/v2/*/manifests/*'
const ALICE: CallOptions = {
  ...anonymously(),
  keyring: {
    lookup: () => [
      {
        label: 'secret',
        credential: { kind: 'basic', username: 'alice', password: 'sesame' },
      },
    ],
  },
}
const BEARER = { kind: 'bearer', users: { alice: 'sesame' } } as const

function sourceAt(directory: TemporaryDirectory, options: Partial<RegistrySourceOptions> = {}) {
  return createRegistrySource({
    hosts: createHosts({ directory: directory.path }),
    retry: { attempts: 1 },
    ...options,
  })
}

async function failureOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'nothing thrown',
    (error: unknown) =>
      error instanceof Error && 'code' in error ? `${error.code} ${error.message}` : String(error),
  )
}

function tokensOf({ requests }: TestRegistry) {
  return requests.map(({ headers }) => [headers.authorization, headers['x-token']])
}

// GHSA-vh4v-2xq2-g5cg: credentials follow a redirect to whom they are not for.
describe('a redirect takes neither Authorization nor configured headers along', () => {
  test.each([
    ['another port', '127.0.0.1', false],
    ['another host', 'localhost', false],
    ['another scheme', '127.0.0.1', true],
  ])('to %s', async (_, hostname, secure) => {
    await using directory = await temporaryDirectory()
    const authority = await createCertificateAuthority()
    const tls = await authority.issue({ names: [hostname] })
    await using other = await startRegistry({ hostname, ...(secure && { tls }) })
    await using registry = await startRegistry({ auth: BEARER })
    for (const one of [other, registry]) load(one, 'acme/app:v1', BUILT)
    await put(directory, 'reg.test/ca.crt', authority.cert)
    await put(
      directory,
      'reg.test/hosts.toml',
      `server = "${registry.url}"\nca = "ca.crt"\nheader = { X-Token = "hunter2" }`,
    )
    registry.fault({ path: MANIFESTS }, { kind: 'redirect', to: `${other.url}/` })
    await using source = sourceAt(directory)
    const reference = { registry: 'reg.test', repository: 'acme/app', tag: 'v1' }
    await source.manifest(reference, ALICE)
    expect(tokensOf(other)).toStrictEqual([[undefined, undefined]])
    expect(tokensOf(registry).every(([, token]) => token === 'hunter2')).toBe(true)
  })
})

test('a client certificate is not shown to the host that a redirect leads to', async () => {
  await using directory = await temporaryDirectory()
  const authority = await createCertificateAuthority()
  const [pair, elsewhere, client] = [
    await authority.issue({ names: ['127.0.0.1'] }),
    await authority.issue({ names: ['localhost'] }),
    await authority.issue({ names: ['node'] }),
  ]
  const clientCa = authority.cert
  await using other = await startRegistry({
    hostname: 'localhost',
    tls: { ...elsewhere, clientCa },
  })
  await using registry = await startRegistry({ tls: { ...pair, clientCa } })
  for (const one of [other, registry]) load(one, 'acme/app:v1', BUILT)
  await put(directory, 'reg.test/ca.crt', authority.cert)
  await put(directory, 'reg.test/client.pem', client.cert + client.key)
  await put(
    directory,
    'reg.test/hosts.toml',
    `server = "${registry.url}"\nca = "ca.crt"\nclient = "client.pem"`,
  )
  await using source = sourceAt(directory)
  const reference = { registry: 'reg.test', repository: 'acme/app', tag: 'v1' }
  await source.manifest(reference, anonymously())
  registry.fault({ path: MANIFESTS }, { kind: 'redirect', to: `${other.url}/` })
  expect(await failureOf(source.manifest(reference, anonymously()))).toMatch(/^UNAVAILABLE /)
  expect(other.requests).toStrictEqual([])
})

test('connections are not shared between those who show a certificate and those who do not', async () => {
  await using directory = await temporaryDirectory()
  const authority = await createCertificateAuthority()
  const [pair, client] = [
    await authority.issue({ names: ['127.0.0.1'] }),
    await authority.issue({ names: ['node'] }),
  ]
  await using registry = await startRegistry({ tls: { ...pair, clientCa: authority.cert } })
  load(registry, 'acme/app:v1', BUILT)
  for (const [name, setting] of [
    ['with.test', 'client = "client.pem"'],
    ['without.test', ''],
  ] as const) {
    await put(directory, `${name}/ca.crt`, authority.cert)
    await put(directory, `${name}/client.pem`, client.cert + client.key)
    await put(
      directory,
      `${name}/hosts.toml`,
      `server = "${registry.url}"\nca = "ca.crt"\n${setting}`,
    )
  }
  await using source = sourceAt(directory)
  const named = { repository: 'acme/app', tag: 'v1' }
  await source.manifest({ ...named, registry: 'with.test' }, anonymously())
  expect(
    await failureOf(source.manifest({ ...named, registry: 'without.test' }, anonymously())),
  ).toMatch(/^UNAVAILABLE /)
})

// GHSA-xf85-363p-868w: who answers for tokens is the registry's word.
describe('a realm or redirect at a metadata address is not asked', () => {
  const METADATA = 'http://169.254.169.254/latest/meta-data/'

  test.each([
    ['realm', { auth: { ...BEARER, realm: METADATA } }, false],
    ['redirect', {}, true],
  ] satisfies readonly (readonly [string, RegistryOptions, boolean])[])(
    '%s, even of a registry on loopback',
    async (_, options, redirects) => {
      await using directory = await temporaryDirectory()
      await using registry = await startRegistry(options)
      load(registry, 'acme/app:v1', BUILT)
      if (redirects) registry.fault({ path: MANIFESTS }, { kind: 'redirect', to: METADATA })
      await put(directory, 'reg.test/hosts.toml', `server = "${registry.url}"`)
      await using source = sourceAt(directory)
      const reference = { registry: 'reg.test', repository: 'acme/app', tag: 'v1' }
      expect(await failureOf(source.manifest(reference, ALICE))).toMatch(
        /^DENIED Cannot pull "reg\.test\/acme\/app:v1": "http:\/\/169\.254\.169\.254" is at a loopback, link-local or private address/,
      )
    },
  )
})

// The answer that was checked must be the one that is connected to.
test('DNS rebinding: a name is looked up once for each connection, and each answer is checked', async () => {
  const server = createServer((_, response) => response.end('secret'))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  let connections = 0
  server.on('connection', () => {
    connections++
  })
  const answers = ['10.255.255.1', '127.0.0.1']
  let lookups = 0
  const { lookup } = dns
  const rebinding = (_: string, __: object, callback: (...answer: unknown[]) => void) => {
    const address = answers[Math.min(lookups++, answers.length - 1)]
    process.nextTick(callback, null, [{ address, family: 4 }])
  }
  Object.assign(dns, { lookup: rebinding })
  syncBuiltinESMExports()
  try {
    await using transport = createTransport({ idleTimeoutMs: 10_000 })
    const send = () =>
      failureOf(
        transport.send({
          ...{ method: 'GET', url: new URL(`http://rebind.test:${port}/`), headers: {} },
          ...{ tls: { ca: [], verify: true }, reach: 'private', dialTimeoutMs: 50 },
          signal: new AbortController().signal,
        }),
      )
    // The first answer may be contacted, and nobody is there; the next one would be the node itself.
    expect(await send()).toMatch(/^UNAVAILABLE /)
    const before = lookups
    expect(await send()).toMatch(/^DENIED /)
    expect([before, connections]).toStrictEqual([1, 0])
  } finally {
    Object.assign(dns, { lookup })
    syncBuiltinESMExports()
    server.close()
  }
})

describe('proxies', () => {
  async function proxied(
    registry: TestRegistry,
    toml: string,
    options: Parameters<typeof startProxy>[0] & { readonly user?: string } = {},
  ) {
    await using stack = new AsyncDisposableStack()
    const directory = stack.use(await temporaryDirectory())
    const proxy = stack.use(await startProxy({ resolve: () => registry.host, ...options }))
    await put(directory, 'reg.test/hosts.toml', toml)
    const url = options.user ? proxy.url.replace('//', `//${options.user}@`) : proxy.url
    const proxies = readProxies({ HTTP_PROXY: url, HTTPS_PROXY: url })
    const source = stack.use(sourceAt(directory, { proxies }))
    load(registry, 'acme/app:v1', BUILT)
    const reference = { registry: 'reg.test', repository: 'acme/app', tag: 'v1' }
    const owned = stack.move()
    return {
      ...{ proxy, directory },
      manifest: () => failureOf(source.manifest(reference, anonymously())),
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    }
  }

  test('forward plain requests and tunnel TLS, with a user and password', async () => {
    const authority = await createCertificateAuthority()
    for (const secure of [false, true]) {
      const tls = await authority.issue({ names: ['reg.test'] })
      await using registry = await startRegistry(secure ? { tls } : {})
      await using it = await proxied(
        registry,
        `server = "${secure ? 'https' : 'http'}://reg.test"\nca = "ca.crt"`,
        {
          user: 'alice:s%C3%A4same',
          authorization: `Basic ${Buffer.from('alice:säsame').toString('base64')}`,
        },
      )
      await put(it.directory, 'reg.test/ca.crt', authority.cert)
      expect(await it.manifest()).toBe('nothing thrown')
      expect(it.proxy.requests.map(({ line }) => line)).toStrictEqual([
        secure ? 'CONNECT reg.test:443' : 'GET http://reg.test/v2/acme/app/manifests/v1',
      ])
      expect(registry.requests.map(({ headers }) => headers['proxy-authorization'])).toStrictEqual([
        undefined,
      ])
    }
  })

  test.each([
    ['http', '407 Proxy Authentication Required'],
    ['https', '407 Proxy Authentication Required'],
  ])('that refuse are named, without user and password: %s', async (scheme, answer) => {
    await using registry = await startRegistry()
    await using it = await proxied(registry, `server = "${scheme}://reg.test"`, {
      user: 'alice:hunter2',
      authorization: 'Basic other',
    })
    expect(await it.manifest()).toBe(
      `UNAVAILABLE Cannot pull "reg.test/acme/app:v1": cannot connect to "${scheme}://reg.test" through proxy "${it.proxy.url}": the proxy answered ${answer}`,
    )
  })

  test.each(['http', 'https'])('that are gone are named: %s', async (scheme) => {
    await using registry = await startRegistry()
    await using it = await proxied(registry, `server = "${scheme}://reg.test"`, {
      user: 'alice:hunter2',
    })
    await it.proxy[Symbol.asyncDispose]()
    expect(await it.manifest()).toBe(
      `UNAVAILABLE Cannot pull "reg.test/acme/app:v1": cannot connect to "${scheme}://reg.test" through proxy "${it.proxy.url}": connection refused`,
    )
  })

  test.each([
    'http://169.254.169.254/x',
    'http://10.0.0.1/x',
    'http://localhost:1/x',
    'http://a.localhost/x',
  ])('SSRF: are not asked to go where a redirect may not lead: %s', async (to) => {
    await using registry = await startRegistry()
    registry.fault({ path: MANIFESTS }, { kind: 'redirect', to })
    await using it = await proxied(registry, '')
    // "proxy" is for all that the host leads to, whatever the environment says of loopback.
    await put(
      it.directory,
      'reg.test/hosts.toml',
      `server = "http://reg.test"\nproxy = "${it.proxy.url}"`,
    )
    const failure = await it.manifest()
    const isPrivate = to.includes('10.0.0.1')
    expect(failure).toMatch(isPrivate ? /^(?:nothing thrown|UNAVAILABLE|NOT_FOUND) ?/ : /^DENIED /)
    expect(it.proxy.requests).toHaveLength(isPrivate ? 2 : 1)
  })

  test.each(['http', 'https'])('that say nothing are given up: %s', async (scheme) => {
    const silent = createTcpServer()
    await new Promise<void>((done) => silent.listen(0, '127.0.0.1', done))
    const { port } = silent.address() as AddressInfo
    await using directory = await temporaryDirectory()
    await put(
      directory,
      'reg.test/hosts.toml',
      `server = "${scheme}://reg.test"\nproxy = "http://127.0.0.1:${port}"`,
    )
    {
      await using source = sourceAt(directory, { idleTimeoutMs: 200 })
      const reference = { registry: 'reg.test', repository: 'acme/app', tag: 'v1' }
      expect(await failureOf(source.manifest(reference, anonymously()))).toBe(
        `UNAVAILABLE Cannot pull "reg.test/acme/app:v1": no byte from "${scheme}://reg.test" through proxy "http://127.0.0.1:${port}" for 0.2 s`,
      )
    }
    silent.close()
  })

  test('no error shows what a proxy is told', async () => {
    await using registry = await startRegistry()
    await using directory = await temporaryDirectory()
    await put(directory, 'reg.test/hosts.toml', 'server = "http://reg.test"')
    await using source = sourceAt(directory, {
      proxies: readProxies({ HTTP_PROXY: `http://alice:hunter2@${registry.host}` }),
    })
    registry.fault({}, { kind: 'disconnect' })
    const error = await source
      .resolve({ registry: 'reg.test', repository: 'a', tag: 'b' }, anonymously())
      .catch((thrown: unknown) => thrown)
    const text = inspect(error, { depth: 20, showHidden: true })
    expect(error).toMatchObject({ code: 'UNAVAILABLE' })
    expect(text).not.toMatch(/hunter2|YWxpY2U/)
  })
})

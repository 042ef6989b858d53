import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { CallOptions } from '../../../common/oci/artifact-source.ts'
import { createBlobRoute } from '../../../common/oci/blob-route.ts'
import { discardBody } from '../../../common/oci/body.ts'
import type { Keyring } from '../../../common/oci/credentials.ts'
import type { Descriptor } from '../../../common/oci/descriptor.ts'
import { digestOf } from '../../../common/oci/digest.ts'
import { createHosts } from '../../../common/oci/hosts.ts'
import {
  createRegistrySource,
  type RegistrySourceOptions,
} from '../../../common/oci/registry-source.ts'
import { artifact, load } from '../../support/artifact.ts'
import type { Fault } from '../../support/registry/faults.ts'
import { type RegistryOptions, startRegistry, type TestRegistry } from '../../support/registry.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { anonymously, collect } from './artifact-source.conformance.ts'
import { put } from './hosts-fixture.ts'

const REPOSITORY = 'acme/app'
const CONTENT = Buffer.alloc(300_007, 'layer ')
const BUILT = artifact({ layers: [{ title: 'a', content: CONTENT }] })
const LAYER: Descriptor = {
  mediaType: 'application/octet-stream',
  digest: digestOf(CONTENT),
  size: CONTENT.length,
  annotations: {},
}
const TAG = { registry: 'reg.test:5000', repository: REPOSITORY, tag: 'v1' }
const DIGEST = { registry: 'reg.test:5000', repository: REPOSITORY, digest: BUILT.digest }
const SUBJECT = 'Cannot pull "reg.test:5000/acme/app:v1"'
const ALICE: CallOptions = {
  ...anonymously(),
  keyring: {
    lookup: (registry) =>
      registry === 'reg.test:5000'
        ? [
            {
              label: 'secret of the volume',
              credential: { kind: 'basic', username: 'alice', password: 'sesame' },
            },
          ]
        : [],
  } satisfies Keyring,
}
const BASIC = { kind: 'basic', users: { alice: 'sesame' } } as const

/** A registry `reg.test:5000` with a mirror before its server, both with one artifact. */
async function started(
  options: {
    readonly mirror?: RegistryOptions
    readonly server?: RegistryOptions
    /** In the mirror's section. */
    readonly settings?: string
    /** At the top level. */
    readonly top?: string
  } = {},
  sourceOptions: Partial<RegistrySourceOptions> = {},
) {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const mirror = stack.use(await startRegistry(options.mirror))
  const server = stack.use(await startRegistry(options.server))
  for (const registry of [mirror, server]) load(registry, `${REPOSITORY}:v1`, BUILT)
  const write = (settings: string) =>
    put(
      directory,
      'reg.test:5000/hosts.toml',
      `server = "${server.url}"\n${options.top ?? ''}\n[host."${mirror.url}"]\n${settings}`,
    )
  await write(options.settings ?? '')
  const waits: number[] = []
  const source = stack.use(
    createRegistrySource({
      hosts: createHosts({ directory: directory.path }),
      retry: {
        random: () => 1,
        sleep: async (ms) => {
          waits.push(ms)
        },
      },
      ...sourceOptions,
    }),
  )
  const owned = stack.move()
  return { mirror, server, source, waits, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** Method, kind of path, `ns` and status. */
function seen({ requests }: TestRegistry): readonly string[] {
  return requests.map(({ method, path, query, status }) =>
    [method, path.split('/').at(-2), query['ns'] ?? '-', status].join(' '),
  )
}

async function failureOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'nothing thrown',
    (error: unknown) =>
      error instanceof Error && 'code' in error ? `${error.code} ${error.message}` : String(error),
  )
}

test('a mirror is asked first and told the name of the registry, with every kind of request', async () => {
  await using it = await started()
  await it.source.resolve(TAG, anonymously())
  await it.source.manifest(DIGEST, anonymously())
  expect(await collect(it.source.blob(TAG, LAYER, anonymously()))).toStrictEqual({
    bytes: CONTENT,
    error: undefined,
  })
  expect([seen(it.mirror), seen(it.server)]).toStrictEqual([
    [
      'HEAD manifests reg.test:5000 200',
      'GET manifests reg.test:5000 200',
      'GET blobs reg.test:5000 200',
    ],
    [],
  ])
})

test('a mirror that may not resolve is not asked what a tag means, but for what has a digest', async () => {
  await using it = await started({ settings: 'capabilities = ["pull"]' })
  await it.source.resolve(TAG, anonymously())
  await it.source.manifest(TAG, anonymously())
  await it.source.manifest(DIGEST, anonymously())
  await it.source.resolve(DIGEST, anonymously())
  expect([seen(it.mirror), seen(it.server)]).toStrictEqual([
    ['GET manifests reg.test:5000 200', 'HEAD manifests reg.test:5000 200'],
    ['HEAD manifests reg.test:5000 200', 'GET manifests reg.test:5000 200'],
  ])
})

test('a server that may not do what is asked for is not asked', async () => {
  await using it = await started({
    settings: 'capabilities = ["pull"]',
    top: 'capabilities = ["pull"]',
  })
  expect(await failureOf(it.source.resolve(TAG, anonymously()))).toBe(
    `INVALID ${SUBJECT}: no host that hosts.toml names for the registry may resolve tags ("resolve"); an admin can add the capability`,
  )
  expect([it.mirror.requests, it.server.requests]).toStrictEqual([[], []])
})

describe('falls back to the server when the mirror', () => {
  const cases: readonly (readonly [string, Fault, number])[] = [
    ['has not got it', { kind: 'status', status: 404 }, 1],
    ['wants credentials', { kind: 'status', status: 401 }, 1],
    ['refuses', { kind: 'status', status: 403 }, 1],
    ['finds fault with the request', { kind: 'status', status: 400 }, 1],
    ['fails', { kind: 'status', status: 500 }, 2],
    ['has no server behind it', { kind: 'status', status: 502 }, 2],
    ['is asked for too much', { kind: 'status', status: 429, headers: { 'retry-after': '50' } }, 1],
    ['hangs up', { kind: 'disconnect' }, 2],
    ['redirects to nowhere', { kind: 'redirect', to: 'ftp://x' }, 1],
    ['serves other bytes', { kind: 'replace', content: '{"schemaVersion":2}' }, 1],
    ['serves a captive portal', { kind: 'status', status: 200, body: '<html>pay</html>' }, 1],
  ]
  test.each(cases)('%s', async (_, fault, requests) => {
    await using it = await started()
    it.mirror.fault({ path: '/v2/*' }, fault)
    const { descriptor, authoritative } = await it.source.manifest(DIGEST, anonymously())
    expect([descriptor.digest, authoritative]).toStrictEqual([BUILT.digest, true])
    expect([it.mirror.count('GET'), it.server.count('GET')]).toStrictEqual([requests, 1])
    expect(it.waits).toStrictEqual(Array.from({ length: requests - 1 }, () => 200))
  })

  test('is not there; then it is asked last, until ten seconds are over', async () => {
    let now = 1_000_000
    const failed: unknown[] = []
    const log = {
      debug: (fields: object, message: string) =>
        failed.push(
          'host' in fields && message === 'a host did not give what was asked'
            ? fields.host
            : message,
        ),
    }
    await using it = await started({}, { nowMs: () => now, log })
    await it.mirror[Symbol.asyncDispose]()
    const ask = async () => {
      failed.length = 0
      const answer = await failureOf(it.source.manifest(DIGEST, anonymously()))
      return [...failed, answer.split(' ')[0]]
    }
    expect(await ask()).toStrictEqual([it.mirror.url, 'nothing'])
    expect(await ask()).toStrictEqual(['nothing'])
    // A server that has nothing makes even a resting mirror worth a question.
    const gone = it.server.fault({ path: '/v2/*' }, { kind: 'status', status: 404 })
    expect(await ask()).toStrictEqual([it.server.url, it.mirror.url, 'NOT_FOUND'])
    gone.remove()
    now += 10_000
    expect(await ask()).toStrictEqual([it.mirror.url, 'nothing'])
    expect(it.waits).toStrictEqual([])
  })
})

test("every host's failure is in the error, the server's first", async () => {
  await using it = await started()
  it.mirror.fault({ path: '/v2/*' }, { kind: 'replace', content: '{}' })
  it.server.fault({ path: '/v2/*' }, { kind: 'status', status: 503 })
  expect(await failureOf(it.source.manifest(DIGEST, anonymously()))).toBe(
    `UNAVAILABLE Cannot pull "reg.test:5000/acme/app@${BUILT.digest}": registry answered 503 Service Unavailable; asked before: "${it.mirror.url}": the manifest ${BUILT.digest} hashes to ${digestOf('{}')}`,
  )
})

describe('credentials', () => {
  test('a mirror never gets those of the pod, whatever it asks', async () => {
    await using it = await started({ mirror: { auth: BASIC }, server: { auth: BASIC } })
    const { credential } = await it.source.manifest(TAG, ALICE)
    expect(credential).toMatchObject({ username: 'alice' })
    expect(it.mirror.requests.map(({ authorization }) => authorization)).toStrictEqual(['none'])
    expect(it.server.requests.map(({ authorization }) => authorization)).toStrictEqual([
      'none',
      'basic',
    ])
  })

  test('a mirror that the admin trusts with them gets them', async () => {
    await using it = await started({
      mirror: { auth: BASIC },
      settings: 'oras_pod_credentials = true',
    })
    const { authoritative } = await it.source.manifest(TAG, ALICE)
    expect([authoritative, it.server.requests]).toStrictEqual([false, []])
    expect(it.mirror.requests.at(-1)?.authorization).toBe('basic')
  })

  test('a token is for the host that asked for it', async () => {
    const auth = { kind: 'bearer', users: { alice: 'sesame' }, anonymousPull: true } as const
    await using it = await started({ mirror: { auth }, server: { auth } })
    it.mirror.fault({ path: '/v2/*/blobs/*' }, { kind: 'status', status: 404 })
    await it.source.manifest(TAG, ALICE)
    await collect(it.source.blob(TAG, LAYER, ALICE))
    const tokens = (registry: TestRegistry) =>
      registry.requests.flatMap(({ headers, path }) =>
        path === '/token' ? [] : [headers.authorization ?? 'none'],
      )
    const [ofMirror, ofServer] = [new Set(tokens(it.mirror)), new Set(tokens(it.server))]
    expect([ofMirror.size, ofServer.size]).toStrictEqual([2, 2])
    expect([...ofMirror.intersection(ofServer)]).toStrictEqual(['none'])
    // Its token service is not told who asks, either.
    expect(it.mirror.requests.map(({ query }) => query['account'])).not.toContain('alice')
  })

  test("the node's own are those for the mirror's name", async () => {
    const passwords = (host: string): Readonly<Record<string, string>> => ({
      [host]: 'of the mirror',
      [TAG.registry]: 'sesame',
    })
    await using it = await started(
      { mirror: { auth: BASIC }, server: { auth: BASIC } },
      {
        nodeKeyring: {
          async *lookup(registry) {
            const password = passwords(it.mirror.host)[registry]
            if (password === undefined) return
            yield { label: 'node', credential: { kind: 'basic', username: 'alice', password } }
          },
        },
      },
    )
    const { credential } = await it.source.manifest(TAG, anonymously())
    const sent = ({ requests }: TestRegistry) =>
      new Set(
        requests.map(({ headers }) =>
          Buffer.from(headers.authorization?.split(' ')[1] ?? '', 'base64').toString(),
        ),
      )
    expect([credential, sent(it.mirror), sent(it.server)]).toStrictEqual([
      undefined,
      new Set(['', 'alice:of the mirror']),
      new Set(['', 'alice:sesame']),
    ])
  })
})

describe('headers of a mirror', () => {
  const SETTINGS = 'header = { X-Token = "hunter2", Authorization = "Bearer hunter2" }'

  test('go to it with every request, and to nobody else', async () => {
    await using other = await startRegistry()
    load(other, `${REPOSITORY}:v1`, BUILT)
    const lines: unknown[] = []
    await using it = await started(
      { settings: SETTINGS },
      { log: { debug: (...line) => lines.push(line) } },
    )
    it.mirror.fault({ path: '/v2/*/blobs/*' }, { kind: 'redirect', to: `${other.url}/` })
    await it.source.resolve(TAG, ALICE)
    await it.source.manifest(TAG, ALICE)
    await collect(it.source.blob(TAG, LAYER, ALICE))
    it.mirror.fault({ path: '/v2/*' }, { kind: 'status', status: 500 })
    await it.source.manifest(TAG, ALICE)
    const tokens = ({ requests }: TestRegistry) =>
      requests.map(({ headers }) => [headers['x-token'], headers.authorization])
    expect([tokens(it.mirror), tokens(other), tokens(it.server)]).toStrictEqual([
      Array.from({ length: 5 }, () => ['hunter2', 'Bearer hunter2']),
      [[undefined, undefined]],
      [[undefined, undefined]],
    ])
    expect(inspect(lines, { depth: 20 })).not.toContain('hunter2')
  })
})

describe('what proves access', () => {
  test.each([
    ['', false],
    ['oras_authoritative = true', true],
  ])('a mirror with %j: %s', async (settings, expected) => {
    await using it = await started({ settings })
    expect((await it.source.manifest(DIGEST, anonymously())).authoritative).toBe(expected)
    expect(
      (await it.source.manifest(DIGEST, { ...ALICE, authoritativeOnly: true })).authoritative,
    ).toBe(true)
    expect([it.mirror.count(), it.server.count()]).toStrictEqual(expected ? [2, 0] : [1, 1])
  })

  test('a server that the admin does not vouch for proves nothing', async () => {
    await using it = await started({ top: 'oras_authoritative = false' })
    expect(
      await failureOf(it.source.manifest(TAG, { ...anonymously(), authoritativeOnly: true })),
    ).toBe(
      `DENIED ${SUBJECT}: no host that hosts.toml names for the registry proves who may read; an admin can vouch for one by oras_authoritative = true`,
    )
  })

  test('whether a blob may be read is asked of the server, not of a mirror that says yes to anything', async () => {
    await using it = await started({ server: { auth: BASIC } })
    expect(await it.source.mayRead?.(TAG, LAYER, anonymously())).toBe(false)
    expect(await it.source.mayRead?.(TAG, LAYER, ALICE)).toBe(true)
    expect(it.mirror.requests).toStrictEqual([])
  })
})

describe('a blob in several parts', () => {
  const part = (offset: number, end: number, route = createBlobRoute()) => ({
    ...anonymously(),
    ...{ offset, end, route },
  })

  test('stays with the host that worked', async () => {
    await using it = await started()
    const fault = it.mirror.fault({ path: '/v2/*' }, { kind: 'status', status: 404 })
    const route = createBlobRoute()
    for (const offset of [0, 1000, 2000]) {
      const { answer } = await it.source.openBlob(TAG, LAYER, part(offset, offset + 1000, route))
      discardBody(answer)
    }
    expect([fault.hits, it.server.count('GET')]).toStrictEqual([1, 3])
  })

  test('is asked of another host when the one before sends nothing, from the same byte', async () => {
    await using it = await started()
    const route = createBlobRoute()
    for (let time = 0; time < 2; time++) {
      const { answer } = await it.source.openBlob(TAG, LAYER, part(5000, 6000, route))
      discardBody(answer)
    }
    expect([it.mirror.count('GET'), it.server.count('GET')]).toStrictEqual([1, 1])
  })

  test('a mirror without ranges is passed over for a part', async () => {
    await using it = await started()
    it.mirror.fault({ path: '/v2/*' }, { kind: 'ignore-range' })
    const { target, answer } = await it.source.openBlob(TAG, LAYER, part(5000, 6000))
    discardBody(answer)
    expect(target.url.origin).toBe(it.server.url)
  })

  test('when nobody can send a part, and one could send the whole, the error says so', async () => {
    await using it = await started()
    it.mirror.fault({ path: '/v2/*' }, { kind: 'ignore-range' })
    it.server.fault({ path: '/v2/*' }, { kind: 'status', status: 503 })
    expect(await failureOf(it.source.openBlob(TAG, LAYER, part(5000, 6000)))).toMatch(
      /^INVALID .*: registry answered 503 Service Unavailable; asked before: "http:.*": registry cannot send blob .* from byte 5000: it answered with the whole$/,
    )
  })

  test('a host that sent wrong bytes is not asked again, and when none is left the error says so', async () => {
    await using it = await started()
    const route = createBlobRoute()
    const from: string[] = []
    for (const more of [true, false]) {
      const { target, answer } = await it.source.openBlob(TAG, LAYER, part(0, LAYER.size, route))
      discardBody(answer)
      from.push(target.url.origin)
      expect(route.distrust()).toStrictEqual({ hosts: [target.url.origin], isAnyLeft: more })
    }
    expect(from).toStrictEqual([it.mirror.url, it.server.url])
    expect(await failureOf(it.source.openBlob(TAG, LAYER, part(0, LAYER.size, route)))).toBe(
      `CORRUPT ${SUBJECT}: every host sent other bytes`,
    )
    expect(route.distrust()).toStrictEqual({ hosts: [], isAnyLeft: false })
  })
})

test('a directory of layouts that this program cannot read is passed over', async () => {
  await using it = await started({ settings: '[host."oci-layout:///nowhere"]' })
  it.mirror.fault({ path: '/v2/*' }, { kind: 'status', status: 404 })
  expect((await it.source.manifest(TAG, anonymously())).descriptor.digest).toBe(BUILT.digest)
})

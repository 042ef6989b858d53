import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { CallOptions } from '../../../common/oci/artifact-source.ts'
import { ANONYMOUS, type Credential, type Keyring } from '../../../common/oci/credentials.ts'
import type { Descriptor } from '../../../common/oci/descriptor.ts'
import { digestOf } from '../../../common/oci/digest.ts'
import { createHosts, type Hosts } from '../../../common/oci/hosts.ts'
import type { Reference } from '../../../common/oci/reference.ts'
import {
  createRegistrySource,
  type RegistrySourceOptions,
} from '../../../common/oci/registry-source.ts'
import { artifact, load } from '../../support/artifact.ts'
import { createCertificateAuthority } from '../../support/certificates.ts'
import { poll } from '../../support/poll.ts'
import { contentOf } from '../../support/registry/content.ts'
import { type RegistryOptions, startRegistry, type TestRegistry } from '../../support/registry.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { anonymously, collect, describeArtifactSource } from './artifact-source.conformance.ts'

const REPOSITORY = 'acme/app'
const CONTENT = Buffer.alloc(1_000_003, 'layer ')
const BUILT = artifact({ layers: [{ title: 'a', content: CONTENT }] })
const LAYER: Descriptor = {
  mediaType: 'application/octet-stream',
  digest: digestOf(CONTENT),
  size: CONTENT.length,
  annotations: {},
}
const MANIFESTS = '/v2/*/manifests/*'
const BLOBS = '/v2/*/blobs/*'
const LOOPBACK = createHosts({ plainHttpLoopback: true })

describeArtifactSource('a registry', async () => {
  const registry = await startRegistry()
  const source = createRegistrySource({ hosts: LOOPBACK })
  return {
    source,
    registry: registry.host,
    sender: 'registry',
    put: async (repository, tag, built) => load(registry, `${repository}:${tag}`, built),
    spoil: async (repository, digest, content) => {
      registry.fault({ path: `/v2/${repository}/*/${digest}` }, { kind: 'replace', content })
    },
    [Symbol.asyncDispose]: async () => {
      await source[Symbol.asyncDispose]()
      await registry[Symbol.asyncDispose]()
    },
  }
})

/** A registry with one artifact, and a source that waits in no time. */
async function started(
  registryOptions: RegistryOptions = {},
  sourceOptions: Partial<RegistrySourceOptions> = {},
) {
  const waits: number[] = []
  const registry = await startRegistry(registryOptions)
  load(registry, `${REPOSITORY}:v1`, BUILT)
  const source = createRegistrySource({
    hosts: LOOPBACK,
    retry: {
      random: () => 1,
      sleep: async (ms) => {
        waits.push(ms)
      },
    },
    ...sourceOptions,
  })
  const reference: Reference = { registry: registry.host, repository: REPOSITORY, tag: 'v1' }
  return {
    registry,
    source,
    reference,
    waits,
    subject: `Cannot pull "${registry.host}/acme/app:v1"`,
    [Symbol.asyncDispose]: async () => {
      await source[Symbol.asyncDispose]()
      await registry[Symbol.asyncDispose]()
    },
  }
}

function basic(username: string, password: string): Credential {
  return { kind: 'basic', username, password }
}

function keyringOf(
  ...credentials: readonly (readonly [label: string, credential: Credential])[]
): Keyring {
  return { lookup: () => credentials.map(([label, credential]) => ({ label, credential })) }
}

function as(
  ...credentials: readonly (readonly [label: string, credential: Credential])[]
): CallOptions {
  return { ...anonymously(), keyring: keyringOf(...credentials) }
}

const ALICE = as(['secret of the volume', basic('alice', 'sesame')])
const MALLORY = as(['secret of the volume', basic('alice', 'wrong')])

async function failureOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    if (error instanceof Error && 'code' in error) return `${String(error.code)} ${error.message}`
    throw error
  }
  return 'nothing thrown'
}

/** What the registry saw: method, path and kind of authorization. */
function seen(registry: TestRegistry): string[] {
  return registry.requests.map(
    ({ method, path, authorization, status }) => `${method} ${path} ${authorization} ${status}`,
  )
}

const M = `/v2/${REPOSITORY}/manifests/v1`

describe('Basic', () => {
  const auth = { kind: 'basic', users: { alice: 'sesame' } } as const

  test('is answered only when asked, and remembered', async () => {
    await using it = await started({ auth })
    const { credential } = await it.source.manifest(it.reference, ALICE)
    await it.source.resolve(it.reference, ALICE)
    expect(credential).toStrictEqual(basic('alice', 'sesame'))
    expect(seen(it.registry)).toStrictEqual([
      `GET ${M} none 401`,
      `GET ${M} basic 200`,
      `HEAD ${M} basic 200`,
    ])
  })

  test('a wrong password, then anonymous access', async () => {
    await using it = await started({ auth })
    expect(await failureOf(it.source.manifest(it.reference, MALLORY))).toBe(
      `UNAUTHENTICATED ${it.subject}: registry answered 401 Unauthorized (UNAUTHORIZED); tried secret of the volume, anonymous access`,
    )
  })

  test('the next credential when the first is refused', async () => {
    await using it = await started({ auth })
    const call = as(
      ['old', basic('alice', 'stale')],
      ['token', { kind: 'identity-token', token: 't' }],
      ['new', basic('alice', 'sesame')],
    )
    expect((await it.source.manifest(it.reference, call)).credential).toStrictEqual(
      basic('alice', 'sesame'),
    )
    // The identity token is no answer to Basic: asked without it, and refused.
    expect(seen(it.registry)).toStrictEqual([
      `GET ${M} none 401`,
      `GET ${M} basic 401`,
      `GET ${M} none 401`,
      `GET ${M} basic 200`,
    ])
  })

  test('a registry that does not ask gets no credential, and proves anonymous access', async () => {
    await using it = await started()
    expect((await it.source.manifest(it.reference, ALICE)).credential).toBeUndefined()
    expect(seen(it.registry)).toStrictEqual([`GET ${M} none 200`])
  })

  test('a user without access is DENIED', async () => {
    await using it = await started({ auth: { ...auth, access: () => false } })
    expect(await failureOf(it.source.manifest(it.reference, ALICE))).toBe(
      `DENIED ${it.subject}: registry answered 403 Forbidden (DENIED); tried secret of the volume, anonymous access`,
    )
  })
})

describe('Bearer', () => {
  const auth = { kind: 'bearer', users: { alice: 'sesame', bob: 'swordfish' } } as const

  test('an anonymous token', async () => {
    await using it = await started({ auth: { ...auth, anonymousPull: true } })
    expect((await it.source.manifest(it.reference, anonymously())).credential).toBeUndefined()
    expect(seen(it.registry)).toStrictEqual([
      `GET ${M} none 401`,
      'GET /token none 200',
      `GET ${M} bearer 200`,
    ])
    expect(it.registry.requests[1]?.query).toStrictEqual({
      service: 'registry.test',
      scope: `repository:${REPOSITORY}:pull`,
    })
  })

  test("a user's token, asked for once for manifest and blobs", async () => {
    await using it = await started({ auth })
    expect((await it.source.manifest(it.reference, ALICE)).credential).toStrictEqual(
      basic('alice', 'sesame'),
    )
    await collect(it.source.blob(it.reference, LAYER, ALICE))
    expect(seen(it.registry)).toStrictEqual([
      `GET ${M} none 401`,
      'GET /token basic 200',
      `GET ${M} bearer 200`,
      `GET /v2/${REPOSITORY}/blobs/${LAYER.digest} bearer 200`,
    ])
  })

  test('concurrent callers share one token request', async () => {
    await using it = await started({ auth })
    using gate = it.registry.hold({ path: '/token' })
    const calls = Array.from({ length: 10 }, () => it.source.resolve(it.reference, ALICE))
    await gate.arrived
    gate.release()
    await Promise.all(calls)
    expect(it.registry.count('GET', '/token')).toBe(1)
  })

  test('a caller who goes away does not take the shared token request along', async () => {
    await using it = await started({ auth })
    using gate = it.registry.hold({ path: '/token' })
    const controller = new AbortController()
    const reason = new Error('pod deleted')
    const leaving = it.source.resolve(it.reference, { ...ALICE, signal: controller.signal })
    await gate.arrived
    const staying = it.source.resolve(it.reference, ALICE)
    controller.abort(reason)
    await expect(leaving).rejects.toBe(reason)
    gate.release()
    expect((await staying).digest).toBe(BUILT.digest)
    expect(it.registry.count('GET', '/token')).toBe(1)
  })

  test('secrets never share a token: not with each other, not with nobody', async () => {
    await using it = await started({ auth: { ...auth, access: (user) => user === 'alice' } })
    await it.source.resolve(it.reference, ALICE)
    const bob = as(['secret of the volume', basic('bob', 'swordfish')])
    const wrong = as(['secret of the volume', basic('alice', 'guess')])
    for (const call of [bob, wrong, anonymously()]) {
      expect(await failureOf(it.source.manifest(it.reference, call))).toMatch(/^UNAUTHENTICATED /)
    }
  })

  test('a token that the registry forgot is replaced, once', async () => {
    await using it = await started({ auth })
    await it.source.resolve(it.reference, ALICE)
    it.registry.expireTokens()
    it.registry.clearRequests()
    await it.source.resolve(it.reference, ALICE)
    expect(seen(it.registry)).toStrictEqual([
      `HEAD ${M} bearer 401`,
      'GET /token basic 200',
      `HEAD ${M} bearer 200`,
    ])
  })

  test('a token is replaced before it expires', async () => {
    let nowMs = 0
    await using it = await started(
      { auth: { ...auth, tokenTtlSeconds: 100 } },
      { nowMs: () => nowMs },
    )
    const tokensAfter = async (seconds: number) => {
      nowMs = seconds * 1000
      await it.source.resolve(it.reference, ALICE)
      return it.registry.count('GET', '/token')
    }
    expect([
      await tokensAfter(0),
      await tokensAfter(74),
      await tokensAfter(76),
      await tokensAfter(100),
    ]).toStrictEqual([1, 1, 2, 2])
  })

  test('an identity token is exchanged by POST', async () => {
    await using it = await started({ auth })
    const token = it.registry.identityToken('alice')
    const call = as(['docker config', { kind: 'identity-token', token }])
    expect((await it.source.manifest(it.reference, call)).credential).toStrictEqual({
      kind: 'identity-token',
      token,
    })
    expect(seen(it.registry)).toStrictEqual([
      `GET ${M} none 401`,
      'POST /token none 200',
      `GET ${M} bearer 200`,
    ])
  })

  test('an identity token that was revoked is refused like a password', async () => {
    await using it = await started({ auth })
    const call = as(['docker config', { kind: 'identity-token', token: 'revoked' }])
    expect(await failureOf(it.source.manifest(it.reference, call))).toMatch(
      /^UNAUTHENTICATED .* token service "127\.0\.0\.1:\d+" answered 40[01] (Bad Request|Unauthorized); tried docker config, anonymous access$/,
    )
  })

  test('a registry token is sent as it is', async () => {
    await using it = await started({ auth })
    const token = it.registry.accessToken('alice', REPOSITORY)
    await it.source.resolve(it.reference, as(['docker config', { kind: 'registry-token', token }]))
    expect(seen(it.registry)).toStrictEqual([`HEAD ${M} none 401`, `HEAD ${M} bearer 200`])
  })

  test('a wrong password is refused by the token service, then anonymous access is', async () => {
    await using it = await started({ auth: { ...auth, separateTokenServer: true } })
    expect(await failureOf(it.source.manifest(it.reference, MALLORY))).toMatch(
      /^UNAUTHENTICATED .*: token service "127\.0\.0\.1:\d+" answered 401 Unauthorized; tried secret of the volume, anonymous access$/,
    )
  })

  test('a wrong password does not hide what everybody may pull', async () => {
    await using it = await started({ auth: { ...auth, anonymousPull: true } })
    expect((await it.source.manifest(it.reference, MALLORY)).credential).toBeUndefined()
  })

  test('a token service that refuses access makes it DENIED', async () => {
    await using it = await started({ auth: { ...auth, refusal: 'token', access: () => false } })
    expect(await failureOf(it.source.manifest(it.reference, ALICE))).toBe(
      `DENIED ${it.subject}: token service "${it.registry.host}" answered 403 Forbidden; tried secret of the volume, anonymous access`,
    )
  })

  test('a token service that fails is asked again', async () => {
    await using it = await started({ auth })
    it.registry.fault({ path: '/token', times: 2 }, { kind: 'status', status: 503 })
    await it.source.resolve(it.reference, ALICE)
    expect(it.waits).toStrictEqual([200, 400])
  })

  test.each([
    ['HTML', '<html>hunter2', 'with no token: token: not valid JSON'],
    ['no token', '{}', 'without a token'],
    ['a token with a line break', '{"token":"a\\r\\nX-Evil: 1"}', 'without a token'],
    ['more than 128 KiB', 'x'.repeat(128 * 1024 + 1), undefined],
  ])('a token service that answers %s', async (_, body, message) => {
    await using it = await started({ auth })
    it.registry.fault({ path: '/token' }, { kind: 'status', status: 200, body })
    const service = `token service "${it.registry.host}"`
    expect(await failureOf(it.source.manifest(it.reference, ALICE))).toBe(
      message === undefined
        ? `CORRUPT ${it.subject}: answer of ${service} is larger than 131072 bytes`
        : `UNAVAILABLE ${it.subject}: ${service} answered ${message}`,
    )
  })

  test('a realm over plain HTTP gets nothing from a registry over TLS', async () => {
    await using evil = await startRegistry()
    await using it = await secured({ auth: { ...auth, realm: `${evil.url}/token` } })
    expect(await failureOf(it.source.manifest(it.reference, ALICE))).toBe(
      `DENIED ${it.subject}: registry sends credentials to a token service over plain HTTP at "${evil.host}"`,
    )
    expect(evil.requests).toStrictEqual([])
  })
})

describe('redirects', () => {
  const auth = { kind: 'bearer', users: { alice: 'sesame' } } as const

  test('GHSA-vh4v-2xq2-g5cg: another host, or port, gets no Authorization', async () => {
    await using other = await startRegistry()
    load(other, `${REPOSITORY}:v1`, BUILT)
    await using it = await started({ auth })
    it.registry.fault({ path: BLOBS }, { kind: 'redirect', to: `${other.url}/` })
    const { bytes, error } = await collect(it.source.blob(it.reference, LAYER, ALICE))
    expect([bytes.equals(CONTENT), error]).toStrictEqual([true, undefined])
    expect(seen(other)).toStrictEqual([`GET /v2/${REPOSITORY}/blobs/${LAYER.digest} none 200`])
    expect(other.requests[0]?.headers).toMatchObject({ 'accept-encoding': 'identity' })
  })

  test('the same origin keeps it', async () => {
    await using it = await started({ auth })
    it.registry.fault(
      { path: M },
      {
        kind: 'redirect',
        to: `${it.registry.url}/v2/${REPOSITORY}/manifests/${BUILT.digest}`,
        status: 302,
      },
    )
    expect((await it.source.manifest(it.reference, ALICE)).descriptor.digest).toBe(BUILT.digest)
  })

  test('a host that sends it back does not get it back', async () => {
    await using it = await started({ auth })
    await using other = await startRegistry()
    other.fault({}, { kind: 'redirect', to: `${it.registry.url}${M}` })
    await it.source.resolve(it.reference, ALICE)
    it.registry.clearRequests()
    it.registry.fault({ path: M, times: 1 }, { kind: 'redirect', to: `${other.url}${M}` })
    // Asked again without a token, the registry challenges; that it is the first origin again makes it count.
    await it.source.resolve(it.reference, ALICE)
    expect(seen(it.registry).slice(0, 2)).toStrictEqual([
      `HEAD ${M} bearer 307`,
      `HEAD ${M} none 401`,
    ])
  })

  test('a challenge of another origin is ignored: it gets no password', async () => {
    await using it = await started({ auth: { kind: 'basic', users: { alice: 'sesame' } } })
    await using evil = await startRegistry({ auth: { kind: 'bearer', users: { alice: 'sesame' } } })
    await it.source.resolve(it.reference, ALICE)
    it.registry.fault({ path: BLOBS }, { kind: 'redirect', to: `${evil.url}/` })
    const { error } = await collect(it.source.blob(it.reference, LAYER, ALICE))
    expect(error).toMatchObject({
      code: 'UNAUTHENTICATED',
      message: `${it.subject}: host "${evil.host}", to which the registry redirected, answered 401 Unauthorized (UNAUTHORIZED)`,
    })
    // Neither the registry's password nor a question for a token: its challenge was not even read.
    expect(seen(evil)).toStrictEqual([`GET /v2/${REPOSITORY}/blobs/${LAYER.digest} none 401`])
  })

  test.each([301, 302, 303, 307, 308])('%i is followed', async (status) => {
    await using it = await started()
    it.registry.fault(
      { path: M },
      {
        kind: 'redirect',
        to: `${it.registry.url}/v2/${REPOSITORY}/manifests/${BUILT.digest}`,
        status,
      },
    )
    expect((await it.source.resolve(it.reference, anonymously())).digest).toBe(BUILT.digest)
  })

  test('five at most', async () => {
    await using it = await started()
    it.registry.fault({ path: M }, { kind: 'redirect', to: `${it.registry.url}${M}` })
    expect(await failureOf(it.source.resolve(it.reference, anonymously()))).toBe(
      `UNAVAILABLE ${it.subject}: registry redirected more than 5 times`,
    )
    expect(it.registry.requests.length).toBe(6)
  })

  test('never from TLS to plain HTTP', async () => {
    await using plain = await startRegistry()
    load(plain, `${REPOSITORY}:v1`, BUILT)
    await using it = await secured()
    it.registry.fault(
      { path: MANIFESTS },
      { kind: 'redirect', to: `${plain.url}/x?signature=hunter2` },
    )
    expect(await failureOf(it.source.resolve(it.reference, anonymously()))).toBe(
      `DENIED ${it.subject}: "${it.registry.url}" redirected to plain HTTP at "${plain.host}"`,
    )
    expect(plain.requests).toStrictEqual([])
  })

  test.each(['ftp://x/y', 'http://', ''])('not to %j', async (location) => {
    await using it = await started()
    it.registry.fault(
      { path: M },
      { kind: 'status', status: 307, headers: location === '' ? {} : { location } },
    )
    expect(await failureOf(it.source.resolve(it.reference, anonymously()))).toBe(
      `UNAVAILABLE ${it.subject}: "${it.registry.url}" redirected to no URL`,
    )
  })
})

describe('retries', () => {
  test('a registry that heals is asked again', async () => {
    await using it = await started()
    it.registry.fault({ path: M, times: 2 }, { kind: 'status', status: 500 })
    await it.source.manifest(it.reference, anonymously())
    expect([it.waits, it.registry.count()]).toStrictEqual([[200, 400], 3])
  })

  test('Retry-After of a 429 is honoured', async () => {
    await using it = await started()
    it.registry.fault(
      { path: BLOBS, times: 1 },
      { kind: 'status', status: 429, headers: { 'retry-after': '7' } },
    )
    const { error } = await collect(it.source.blob(it.reference, LAYER, anonymously()))
    expect([error, it.waits]).toStrictEqual([undefined, [7000]])
  })

  test('a connection that was reset is made again', async () => {
    await using it = await started()
    it.registry.fault({ path: M, times: 1 }, { kind: 'disconnect' })
    await it.source.resolve(it.reference, anonymously())
    expect(it.waits).toStrictEqual([200])
  })

  test('a manifest that broke off is fetched again', async () => {
    await using it = await started()
    it.registry.fault({ path: M, times: 1 }, { kind: 'truncate', afterBytes: 10 })
    expect(
      Buffer.from((await it.source.manifest(it.reference, anonymously())).bytes),
    ).toStrictEqual(BUILT.manifest)
    expect(it.waits).toStrictEqual([200])
  })

  test('it ends after five requests', async () => {
    const lines: unknown[] = []
    await using it = await started(
      {},
      { log: { debug: (fields, message) => lines.push([fields, message]) } },
    )
    it.registry.fault({ path: M }, { kind: 'status', status: 503 })
    expect(await failureOf(it.source.resolve(it.reference, anonymously()))).toBe(
      `UNAVAILABLE ${it.subject}: registry answered 503 Service Unavailable`,
    )
    expect([it.waits, it.registry.count()]).toStrictEqual([[200, 400, 800, 1600], 5])
    expect(lines[0]).toStrictEqual([
      {
        reference: `${it.registry.host}/acme/app:v1`,
        host: it.registry.url,
        failure: 'registry answered 503 Service Unavailable',
        waitMs: 200,
      },
      'registry request is tried again',
    ])
  })
})

describe('answers', () => {
  test.each([
    [400, 'NAME_INVALID', 'INVALID', 'registry answered 400 Bad Request (NAME_INVALID)'],
    [
      401,
      'UNAUTHORIZED',
      'UNAUTHENTICATED',
      'registry answered 401 Unauthorized (UNAUTHORIZED); tried anonymous access',
    ],
    [403, 'DENIED', 'DENIED', 'registry answered 403 Forbidden (DENIED); tried anonymous access'],
    [404, 'MANIFEST_UNKNOWN', 'NOT_FOUND', 'registry has no manifest "v1" (MANIFEST_UNKNOWN)'],
    [404, 'NAME_UNKNOWN', 'NOT_FOUND', 'registry has no repository "acme/app" (NAME_UNKNOWN)'],
    [404, 'no <b>code</b>', 'NOT_FOUND', 'registry has no manifest "v1"'],
    [410, '', 'NOT_FOUND', 'registry has no manifest "v1"'],
    [418, '', 'UNAVAILABLE', "registry answered 418 I'm a Teapot"],
    [451, '', 'DENIED', 'registry answered 451 Unavailable For Legal Reasons'],
    [204, '', 'UNAVAILABLE', 'registry answered 204 No Content'],
    [501, '', 'UNAVAILABLE', 'registry answered 501 Not Implemented'],
    [599, '', 'UNAVAILABLE', 'registry answered 599'],
  ])('%i %s is %s', async (status, code, expectedCode, message) => {
    await using it = await started()
    const body = JSON.stringify({ errors: [{ code, message: 'hunter2', detail: 'hunter2' }] })
    it.registry.fault({ path: M }, { kind: 'status', status, body: status === 204 ? '' : body })
    expect(await failureOf(it.source.manifest(it.reference, anonymously()))).toBe(
      `${expectedCode} ${it.subject}: ${message}`,
    )
  })

  test.each([
    '<html>hunter2</html>',
    '{"errors":"hunter2"}',
    '{"errors":[]}',
    '[]',
    '{"errors":[{"code":"a b"}]}',
    '{"errors":[{"code":7}]}',
    'x'.repeat(100_000),
  ])('an error body that is none says nothing: %j', async (body) => {
    await using it = await started()
    it.registry.fault({ path: M }, { kind: 'status', status: 404, body })
    expect(await failureOf(it.source.manifest(it.reference, anonymously()))).toBe(
      `NOT_FOUND ${it.subject}: registry has no manifest "v1"`,
    )
  })

  test('a missing blob', async () => {
    await using it = await started()
    it.registry.remove(REPOSITORY, LAYER.digest)
    const { error } = await collect(it.source.blob(it.reference, LAYER, anonymously()))
    expect(error).toMatchObject({
      code: 'NOT_FOUND',
      message: `${it.subject}: registry has no blob ${LAYER.digest} (BLOB_UNKNOWN)`,
    })
  })

  test('resolve hashes the manifest when no digest is given', async () => {
    await using it = await started()
    it.registry.fault({ path: M }, { kind: 'digest-header' })
    expect(await it.source.resolve(it.reference, anonymously())).toStrictEqual({
      mediaType: BUILT.mediaType,
      digest: BUILT.digest,
      size: BUILT.manifest.length,
      annotations: {},
    })
    expect(seen(it.registry)).toStrictEqual([`HEAD ${M} none 200`, `GET ${M} none 200`])
  })

  test.each([
    [
      'sha256:../../x',
      'registry answered with a malformed Docker-Content-Digest',
      'registry answered with a malformed Docker-Content-Digest',
    ],
    [digestOf('other'), undefined, `the manifest ${digestOf('other')} hashes to ${BUILT.digest}`],
  ])('a Docker-Content-Digest of %s', async (value, onResolve, onManifest) => {
    await using it = await started()
    it.registry.fault({ path: M }, { kind: 'digest-header', value })
    const outcomes = [
      await failureOf(it.source.resolve(it.reference, anonymously())),
      await failureOf(it.source.manifest(it.reference, anonymously())),
    ]
    expect(outcomes).toStrictEqual([
      // A claim for a tag cannot be checked without the content.
      onResolve === undefined ? 'nothing thrown' : `CORRUPT ${it.subject}: ${onResolve}`,
      `CORRUPT ${it.subject}: ${onManifest}`,
    ])
  })

  test.each([
    ['the header agrees with the bytes and not with the reference', digestOf('{}'), digestOf('x')],
    ['the bytes agree with the reference and not with the header', digestOf('x'), digestOf('{}')],
  ])('another manifest than the one asked for: %s', async (_, header, wanted) => {
    await using it = await started()
    it.registry.addManifest(REPOSITORY, 'swap', BUILT.mediaType, Buffer.from('{}'))
    const path = `/v2/${REPOSITORY}/manifests/${wanted}`
    it.registry.fault(
      { path },
      { kind: 'redirect', to: `${it.registry.url}/v2/${REPOSITORY}/manifests/swap` },
    )
    it.registry.fault({ path: '/v2/*/swap' }, { kind: 'digest-header', value: header })
    const reference = { registry: it.registry.host, repository: REPOSITORY, digest: wanted }
    expect(await failureOf(it.source.manifest(reference, anonymously()))).toBe(
      `CORRUPT Cannot pull "${it.registry.host}/acme/app@${wanted}": the manifest ${digestOf('x')} hashes to ${digestOf('{}')}`,
    )
  })

  test('a claim of another digest than the one asked for', async () => {
    await using it = await started()
    it.registry.fault({}, { kind: 'digest-header', value: digestOf('other') })
    const reference = { ...it.reference, digest: BUILT.digest }
    expect(await failureOf(it.source.resolve(reference, anonymously()))).toBe(
      `CORRUPT Cannot pull "${it.registry.host}/acme/app:v1@${BUILT.digest}": registry answered for manifest ${BUILT.digest} with ${digestOf('other')}`,
    )
    expect((await collect(it.source.blob(it.reference, LAYER, anonymously()))).error).toMatchObject(
      {
        code: 'CORRUPT',
        message: `${it.subject}: registry answered for blob ${LAYER.digest} with ${digestOf('other')}`,
      },
    )
  })

  test('a manifest of more than 4 MiB', async () => {
    await using it = await started()
    it.registry.fault(
      { path: M },
      { kind: 'replace', content: Buffer.alloc(4 * 1024 * 1024 + 1, 0x20) },
    )
    expect(await failureOf(it.source.manifest(it.reference, anonymously()))).toBe(
      `EXHAUSTED ${it.subject}: manifest is larger than 4194304 bytes (the limit --max-manifest-bytes, which an admin can raise)`,
    )
  })
})

describe('blobs', () => {
  test('corrupt at its first and at its last byte', async () => {
    for (const at of [0, CONTENT.length - 1]) {
      await using it = await started()
      it.registry.fault({ path: BLOBS }, { kind: 'corrupt', at })
      const { bytes, error } = await collect(it.source.blob(it.reference, LAYER, anonymously()))
      expect(error).toMatchObject({ code: 'CORRUPT' })
      expect(bytes.length).toBeLessThan(CONTENT.length)
    }
  })

  test.each([-1, 1])('a length that differs by %i', async (by) => {
    await using it = await started()
    it.registry.fault({ path: BLOBS }, { kind: 'resize', by })
    const { bytes, error } = await collect(it.source.blob(it.reference, LAYER, anonymously()))
    expect([bytes.length, error]).toMatchObject([
      0,
      {
        code: 'CORRUPT',
        message: `${it.subject}: registry sends ${CONTENT.length + by} bytes of blob ${LAYER.digest}; expected ${CONTENT.length}`,
      },
    ])
  })

  test('a connection that breaks is UNAVAILABLE, and the rest can be had from there', async () => {
    await using it = await started()
    it.registry.fault({ path: BLOBS, times: 1 }, { kind: 'truncate', afterBytes: 600_000 })
    const first = await collect(it.source.blob(it.reference, LAYER, anonymously()))
    expect(first.error).toMatchObject({ code: 'UNAVAILABLE' })
    const rest = await collect(
      it.source.blob(it.reference, LAYER, { ...anonymously(), offset: first.bytes.length }),
    )
    expect([rest.error, Buffer.concat([first.bytes, rest.bytes]).equals(CONTENT)]).toStrictEqual([
      undefined,
      true,
    ])
    expect(it.registry.requests.at(-1)?.range).toBe(
      `bytes=${first.bytes.length}-${CONTENT.length - 1}`,
    )
  })

  test.each([
    ['ignores the range', { kind: 'ignore-range' }, 'it answered with the whole'],
    ['sends another range', { kind: 'content-range' }, 'it answered with another range'],
    [
      'sends a malformed range',
      { kind: 'content-range', value: 'bytes 5-' },
      'it answered with another range',
    ],
  ] as const)(
    'a registry that %s cannot resume: INVALID, and nothing of it',
    async (_, fault, how) => {
      await using it = await started()
      it.registry.fault({ path: BLOBS }, fault)
      const { bytes, error } = await collect(
        it.source.blob(it.reference, LAYER, { ...anonymously(), offset: 5 }),
      )
      expect([bytes.length, error]).toMatchObject([
        0,
        {
          code: 'INVALID',
          message: `${it.subject}: registry cannot send blob ${LAYER.digest} from byte 5: ${how}`,
        },
      ])
    },
  )

  test('a connection without a byte is dropped', async () => {
    await using it = await started({}, { idleTimeoutMs: 100, retry: { attempts: 1 } })
    using gate = it.registry.hold({ path: BLOBS, afterBytes: 100_000 })
    const { error } = await collect(it.source.blob(it.reference, LAYER, anonymously()))
    expect([gate.arrivals, error]).toMatchObject([
      1,
      {
        code: 'UNAVAILABLE',
        message: `${it.subject}: no byte from "${it.registry.url}" for 0.1 s`,
      },
    ])
  })

  test('a reader who leaves a blob closes its connection', async () => {
    await using it = await started()
    using _gate = it.registry.hold({ path: BLOBS, afterBytes: 600_000 })
    for await (const _ of it.source.blob(it.reference, LAYER, anonymously())) break
    await poll(() => it.registry.requests.every(({ ended }) => ended), {
      deadlineMs: 10_000,
      what: 'the end of the request',
    })
  })

  test('an abandoned body never ends the process: its late error is heard', async () => {
    await using it = await started()
    const small = {
      ...LAYER,
      digest: it.registry.addBlob(REPOSITORY, contentOf(Buffer.from('hello v1'))),
      size: 8,
    }
    it.registry.fault({ path: BLOBS }, { kind: 'resize', by: 2 })
    const unheard: unknown[] = []
    const note = (error: unknown) => unheard.push(error)
    process.on('uncaughtException', note)
    try {
      // Which answers fail late depends on timing.
      for (let attempt = 0; attempt < 200; attempt += 1) {
        expect(await failureOf(it.source.openBlob(it.reference, small, anonymously()))).toMatch(
          /^CORRUPT .* registry sends 10 bytes of blob /,
        )
      }
    } finally {
      process.off('uncaughtException', note)
    }
    expect(unheard).toEqual([])
  })

  test('a server that never answers is dropped', async () => {
    await using it = await started({}, { idleTimeoutMs: 100, retry: { attempts: 1 } })
    using gate = it.registry.hold({ path: M })
    expect(await failureOf(it.source.resolve(it.reference, anonymously()))).toBe(
      `UNAVAILABLE ${it.subject}: no byte from "${it.registry.url}" for 0.1 s`,
    )
    expect(gate.arrivals).toBe(1)
  })

  test('openBlob ends where the same bytes can be asked for on another connection', async () => {
    await using it = await started({ auth: { kind: 'bearer', users: { alice: 'sesame' } } })
    await using other = await startRegistry()
    load(other, `${REPOSITORY}:v1`, BUILT)
    it.registry.fault({ path: BLOBS }, { kind: 'redirect', to: `${other.url}/` })
    const { target, answer } = await it.source.openBlob(it.reference, LAYER, {
      ...ALICE,
      offset: 10,
    })
    answer.body.destroy()
    expect([target.url.origin, target.tls, Object.keys(target.headers)]).toStrictEqual([
      other.url,
      { ca: [], verify: true },
      ['user-agent', 'accept-encoding', 'range'],
    ])
    const again = await fetch(target.url, { headers: target.headers })
    expect(Buffer.from(await again.arrayBuffer()).equals(CONTENT.subarray(10))).toBe(true)
  })
})

/** A registry over TLS whose private authority hosts.toml names. */
async function secured(
  options: RegistryOptions = {},
  names: readonly string[] = ['127.0.0.1'],
  toml?: string,
) {
  const directory = await temporaryDirectory()
  const authority = await createCertificateAuthority()
  const it = await started(
    { ...options, tls: await authority.issue({ names }) },
    { hosts: createHosts({ directory: directory.path }) },
  )
  const folder = directory.file(it.registry.host)
  await mkdir(folder)
  await writeFile(directory.file(it.registry.host, 'ca.crt'), authority.cert)
  await writeFile(directory.file(it.registry.host, 'hosts.toml'), toml ?? 'ca = "ca.crt"')
  return {
    ...it,
    directory,
    authority,
    [Symbol.asyncDispose]: async () => {
      await it[Symbol.asyncDispose]()
      await directory[Symbol.asyncDispose]()
    },
  }
}

describe('TLS', () => {
  test('a private authority of hosts.toml is trusted', async () => {
    await using it = await secured()
    expect((await it.source.manifest(it.reference, anonymously())).descriptor.digest).toBe(
      BUILT.digest,
    )
  })

  test('an unknown authority is refused, before a request is sent and without a second try', async () => {
    await using it = await secured({}, ['127.0.0.1'], 'skip_verify = false')
    expect(await failureOf(it.source.resolve(it.reference, anonymously()))).toMatch(
      /^UNAVAILABLE Cannot pull .*: cannot trust "https:\/\/127\.0\.0\.1:\d+": its certificate is signed by an unknown authority \([A-Z_]+\); name the authority's certificate as "ca" in the hosts\.toml of the registry$/,
    )
    expect([it.registry.requests, it.registry.connections]).toStrictEqual([[], 1])
  })

  test('skip_verify of hosts.toml takes any certificate, and a change of it counts at once', async () => {
    await using it = await secured({}, ['other.example.com'], 'skip_verify = true')
    await it.source.resolve(it.reference, anonymously())
    await writeFile(it.directory.file(it.registry.host, 'hosts.toml'), 'ca = "ca.crt"')
    expect(await failureOf(it.source.resolve(it.reference, anonymously()))).toBe(
      `UNAVAILABLE ${it.subject}: cannot trust "${it.registry.url}": its certificate is for other names`,
    )
  })

  test('skip_verify is for its own host, the authority for those it leads to', async () => {
    await using it = await secured({}, ['127.0.0.1'], 'skip_verify = true\nca = "ca.crt"')
    await using trusted = await startRegistry({
      tls: await it.authority.issue({ names: ['localhost'] }),
      hostname: 'localhost',
    })
    const stranger = await createCertificateAuthority()
    await using untrusted = await startRegistry({
      tls: await stranger.issue({ names: ['localhost'] }),
      hostname: 'localhost',
    })
    load(trusted, `${REPOSITORY}:v1`, BUILT)
    load(untrusted, `${REPOSITORY}:v1`, BUILT)
    const fault = it.registry.fault({ path: M }, { kind: 'redirect', to: `${trusted.url}/` })
    expect((await it.source.manifest(it.reference, anonymously())).descriptor.digest).toBe(
      BUILT.digest,
    )
    fault.remove()
    it.registry.fault({ path: M }, { kind: 'redirect', to: `${untrusted.url}/` })
    expect(await failureOf(it.source.manifest(it.reference, anonymously()))).toContain(
      `cannot trust "${untrusted.url}"`,
    )
    expect(untrusted.requests).toStrictEqual([])
  })

  test("an authority of hosts.toml stands beside the system's, not in their place", async () => {
    await using it = await secured()
    const system = await createCertificateAuthority()
    await using other = await startRegistry({
      tls: await system.issue({ names: ['localhost'] }),
      hostname: 'localhost',
    })
    load(other, `${REPOSITORY}:v1`, BUILT)
    it.registry.fault({ path: M }, { kind: 'redirect', to: `${other.url}/` })
    const before = getCACertificates('default')
    setDefaultCACertificates([...before, system.cert])
    try {
      const { descriptor } = await it.source.manifest(it.reference, anonymously())
      expect(descriptor.digest).toBe(BUILT.digest)
    } finally {
      setDefaultCACertificates(before)
    }
  })

  test('a registry that speaks plain HTTP', async () => {
    await using directory = await temporaryDirectory()
    await using it = await started({}, { hosts: createHosts({ directory: directory.path }) })
    await mkdir(directory.file(it.registry.host))
    const file = directory.file(it.registry.host, 'hosts.toml')
    await writeFile(file, '')
    expect(await failureOf(it.source.resolve(it.reference, anonymously()))).toBe(
      `UNAVAILABLE ${it.subject}: "https://${it.registry.host}" does not speak TLS; plain HTTP needs server = "http://${it.registry.host}" in the hosts.toml of the registry`,
    )
    await writeFile(file, `server = "${it.registry.url}"`)
    expect((await it.source.resolve(it.reference, anonymously())).digest).toBe(BUILT.digest)
  })
})

describe('addresses', () => {
  const unconfigured = createHosts({})

  test.each([
    '127.0.0.1',
    'localhost',
    '[::1]',
    '169.254.169.254',
    '[::ffff:127.0.0.1]',
    '0.0.0.0',
  ])('SSRF: a reference does not reach %s unless hosts.toml names it', async (host) => {
    await using it = await started({}, { hosts: unconfigured })
    const reference = { ...it.reference, registry: `${host}:${it.registry.port}` }
    expect(await failureOf(it.source.resolve(reference, anonymously()))).toMatch(
      /^DENIED Cannot pull .* is at a loopback, link-local or private address that this registry may not lead to; an admin can allow it by a hosts\.toml for the registry$/,
    )
    expect(it.registry.connections).toBe(0)
  })

  test('an address that one registry may reach is not reached by another over its connections', async () => {
    const registry = await startRegistry({ hostname: 'localhost' })
    load(registry, `${REPOSITORY}:v1`, BUILT)
    const hosts: Hosts = {
      lookup: async (name) => ({
        hosts: [
          {
            kind: 'registry',
            base: `${registry.url}/v2`,
            tls: { ca: [], verify: true },
            configured: name === 'trusted',
            headers: {},
            dialTimeoutMs: 10_000,
            capabilities: { pull: true, resolve: true },
            authoritative: true,
            takesCredentials: true,
          },
        ],
      }),
    }
    await using _ = registry
    await using source = createRegistrySource({ hosts, retry: { attempts: 1 } })
    const reference = { repository: REPOSITORY, tag: 'v1' }
    await source.resolve({ ...reference, registry: 'trusted' }, anonymously())
    expect(
      await failureOf(source.resolve({ ...reference, registry: 'stranger' }, anonymously())),
    ).toMatch(/^DENIED /)
  })

  test('a closed port', async () => {
    const closed = await startRegistry()
    await closed[Symbol.asyncDispose]()
    await using source = createRegistrySource({
      hosts: LOOPBACK,
      retry: { attempts: 2, sleep: async () => {} },
    })
    expect(
      await failureOf(
        source.resolve({ registry: closed.host, repository: 'a', tag: 'b' }, anonymously()),
      ),
    ).toBe(
      `UNAVAILABLE Cannot pull "${closed.host}/a:b": cannot connect to "${closed.url}": connection refused`,
    )
  })

  test('a name that does not exist', async () => {
    await using source = createRegistrySource({ hosts: unconfigured, retry: { attempts: 1 } })
    expect(
      await failureOf(
        source.resolve({ registry: 'registry.invalid', repository: 'a', tag: 'b' }, anonymously()),
      ),
    ).toMatch(
      /^UNAVAILABLE Cannot pull "registry\.invalid\/a:b": cannot find host "registry\.invalid": /,
    )
  })

  test('a broken hosts.toml', async () => {
    await using source = createRegistrySource({
      hosts: { lookup: () => Promise.reject(new TypeError('a bug')) } satisfies Hosts,
    })
    await expect(
      source.resolve({ registry: 'x', repository: 'a', tag: 'b' }, anonymously()),
    ).rejects.toThrow(TypeError)
  })
})

describe('secrets', () => {
  const SECRETS = ['sesame', 'hunter2', 'c2VzYW1l', 'YWxpY2U6']
  type Fault = (it: Awaited<ReturnType<typeof started>>) => void

  const scenarios: [string, Fault][] = [
    [
      'a refusal',
      (it) =>
        it.registry.fault(
          { path: M },
          {
            kind: 'status',
            status: 403,
            body: '{"errors":[{"code":"DENIED","message":"hunter2"}]}',
          },
        ),
    ],
    ['a reset', (it) => it.registry.fault({ path: M }, { kind: 'disconnect' })],
    [
      'a failure',
      (it) => it.registry.fault({ path: M }, { kind: 'status', status: 500, body: 'hunter2' }),
    ],
    [
      'a signed URL that fails',
      (it) =>
        it.registry.fault(
          { path: M, times: 1 },
          { kind: 'redirect', to: `${it.registry.url}/v2/gone?X-Signature=hunter2` },
        ),
    ],
    [
      'a signed URL at a closed port',
      (it) =>
        it.registry.fault(
          { path: M },
          { kind: 'redirect', to: 'http://127.0.0.1:1/x?X-Signature=hunter2' },
        ),
    ],
    [
      'a signed URL that is none',
      (it) =>
        it.registry.fault(
          { path: M },
          { kind: 'redirect', to: 'ftp://alice:hunter2@x/x?X-Signature=hunter2' },
        ),
    ],
    [
      'a signed URL at a forbidden address',
      (it) =>
        it.registry.fault(
          { path: M },
          { kind: 'redirect', to: 'https://localhost:1/x?X-Signature=hunter2' },
        ),
    ],
    [
      'a token service that fails',
      (it) =>
        it.registry.fault({ path: '/token' }, { kind: 'status', status: 500, body: 'hunter2' }),
    ],
    [
      'a token service that refuses',
      (it) =>
        it.registry.fault({ path: '/token' }, { kind: 'status', status: 401, body: 'hunter2' }),
    ],
    [
      'a token service that answers nonsense',
      (it) =>
        it.registry.fault(
          { path: '/token' },
          { kind: 'status', status: 200, body: '{"token":"hunter2' },
        ),
    ],
    [
      'a token service that hangs up',
      (it) => it.registry.fault({ path: '/token' }, { kind: 'disconnect' }),
    ],
    [
      'another manifest',
      (it) => it.registry.fault({ path: M }, { kind: 'digest-header', value: digestOf('x') }),
    ],
  ]

  test.each(scenarios)('no error and no log line shows one: %s', async (_, fault) => {
    const lines: unknown[] = []
    await using it = await started(
      { auth: { kind: 'bearer', users: { alice: 'sesame' } } },
      { log: { debug: (...line) => lines.push(line) } },
    )
    const identity = it.registry.identityToken('alice')
    const access = it.registry.accessToken('bob', 'other/repository')
    fault(it)
    const call = as(
      ['a', { kind: 'registry-token', token: access }],
      ['b', { kind: 'identity-token', token: identity }],
      ['c', basic('alice', 'sesame')],
    )
    const error = await it.source.manifest(it.reference, call).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(Error)
    // Everything that a logger could print: message, stack, causes and their properties, hidden ones too.
    const text = inspect([error, lines], { depth: 20, showHidden: true, maxStringLength: null })
    expect([...SECRETS, identity, access].filter((secret) => text.includes(secret))).toStrictEqual(
      [],
    )
  })
})

test('no error shows the bytes of an answer that is no HTTP', async () => {
  const server = createServer((socket) =>
    socket.end('HTTP/1.1 200 OK\r\nhunter2: \u0001\r\nhunter2\r\n'),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const registry = typeof address === 'object' ? `127.0.0.1:${address?.port}` : ''
  await using source = createRegistrySource({ hosts: LOOPBACK, retry: { attempts: 1 } })
  const error = await source
    .resolve({ registry, repository: 'a', tag: 'b' }, anonymously())
    .catch((thrown: unknown) => thrown)
  server.close()
  expect(error).toMatchObject({ code: 'UNAVAILABLE' })
  expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('hunter2')
})

test('after disposal every call fails', async () => {
  await using it = await started({}, { retry: { attempts: 1 } })
  await it.source.resolve(it.reference, anonymously())
  await it.source[Symbol.asyncDispose]()
  const call = { ...anonymously(), keyring: ANONYMOUS }
  expect(await failureOf(it.source.resolve(it.reference, call))).toBe(
    `UNAVAILABLE ${it.subject}: the registry client was closed`,
  )
})

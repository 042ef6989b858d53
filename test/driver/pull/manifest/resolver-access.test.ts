import { describe, expect, test } from 'vitest'
import type { PullPolicy } from '../../../../common/composition/composition.ts'
import { CodedError, isCodedError } from '../../../../common/errors.ts'
import type { ArtifactSource } from '../../../../common/oci/artifact-source.ts'
import { ANONYMOUS, type Keyring } from '../../../../common/oci/credentials.ts'
import type { Digest } from '../../../../common/oci/digest.ts'
import { createHosts } from '../../../../common/oci/hosts.ts'
import { OCI_MANIFEST } from '../../../../common/oci/media-types.ts'
import { parsePlatform } from '../../../../common/oci/platform.ts'
import { parseReference } from '../../../../common/oci/reference.ts'
import { createRegistrySource } from '../../../../common/oci/registry-source.ts'
import { DEFAULT_ACCESS_RULES } from '../../../../driver/pull/access-rules.ts'
import { createResolver } from '../../../../driver/pull/manifest/resolver.ts'
import { DEFAULT_PULL_LIMITS } from '../../../../driver/pull/pull-limits.ts'
import { ANYONE, createAccessStore } from '../../../../driver/store/access.ts'
import { artifact, index, load, manifestOf } from '../../../support/artifact.ts'
import type { RegistryAuth } from '../../../support/registry/authority.ts'
import { startRegistry } from '../../../support/registry.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'
import { openTestStore } from '../../store/open-test-store.ts'

// The rules of who may have what is cached, one by one; test/driver/tenants.process.test.ts meets them from the front door.

const V1 = artifact({ layers: [{ title: 'v1.txt', content: 'v1' }] })
const V2 = artifact({ layers: [{ title: 'v2.txt', content: 'v2' }] })
const BOTH = index([{ built: V1, platform: { os: 'linux', architecture: 'amd64' } }])
const HOUR_MS = 3_600_000
const PRIVATE: RegistryAuth = { kind: 'basic', users: { alice: 'sesame', bob: 'builder' } }

const keyringOf = (username: string, password: string): Keyring => ({
  lookup: () => [{ label: 'secret', credential: { kind: 'basic', username, password } }],
})
const ALICE = keyringOf('alice', 'sesame')
const BOB = keyringOf('bob', 'builder')
const MALLORY = keyringOf('alice', 'guess')

interface Asked {
  readonly name?: string
  readonly keyring?: Keyring
  readonly policy?: PullPolicy
}

/** A registry with `acme/app:v1`, and a node whose clock the test sets. What was resolved once counts as laid out. */
async function started(
  options: {
    readonly auth?: RegistryAuth
    readonly patienceMs?: number
    readonly wrap?: (source: ArtifactSource) => ArtifactSource
  } = {},
) {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const store = stack.use(await openTestStore(directory.file('store')))
  const auth = options.auth === undefined ? {} : { auth: options.auth }
  const registry = stack.use(await startRegistry(auth))
  load(registry, 'acme/app:v1', V1)
  const hosts = createHosts({ directory: directory.file('none'), plainHttpLoopback: true })
  const real = stack.use(createRegistrySource({ hosts, retry: { attempts: 1 } }))
  const clock = { nowMs: Date.UTC(2026, 0, 1) }
  const now = () => clock.nowMs
  const access = createAccessStore({
    directories: {
      proofs: directory.file('store', 'access'),
      tags: directory.file('store', 'refs'),
    },
    now,
  })
  const outages: { reference: string; digest: Digest }[] = []
  const { patienceMs = DEFAULT_ACCESS_RULES.patienceMs } = options
  const resolver = stack.use(
    createResolver({
      ...{ ...store, access, now },
      source: options.wrap?.(real) ?? real,
      platform: parsePlatform('linux/amd64'),
      limits: DEFAULT_PULL_LIMITS,
      rules: { ...DEFAULT_ACCESS_RULES, patienceMs },
      onOutage: ({ reference, digest }) => outages.push({ reference, digest }),
    }),
  )
  const present = new Set<Digest>()
  const open = stack.move()
  return {
    ...{ registry, clock, present, outages, access },
    pass: (ms: number) => {
      clock.nowMs += ms
    },
    /** The manifest's digest or the error; HOST stands for the registry. */
    async resolve({ name = 'acme/app:v1', keyring = ANONYMOUS, policy }: Asked = {}) {
      try {
        const resolved = await resolver.resolve(
          {
            reference: parseReference(`${registry.host}/${name}`),
            ...(policy !== undefined && { pullPolicy: policy }),
          },
          {
            keyring,
            signal: AbortSignal.timeout(20_000),
            isPresent: async ({ manifestDigest }) => present.has(manifestDigest),
          },
        )
        present.add(resolved.manifestDigest)
        return resolved.manifestDigest
      } catch (error) {
        if (!isCodedError(error)) throw error
        return `${error.code} ${error.message.replaceAll(registry.host, 'HOST')}`
      }
    },
    /** `GET v1` for each request so far that was not refused, and forgets them. */
    takeRequests() {
      const taken = registry.requests
        .filter(({ status }) => status !== 401)
        .map(({ method, path }) => `${method} ${path.split('/').at(-1)}`)
      registry.clearRequests()
      return taken
    },
    /** From now on nobody answers. */
    goDown: () => registry.fault({}, { kind: 'disconnect' }),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  }
}

type Started = Awaited<ReturnType<typeof started>>

const REFUSED = /^UNAUTHENTICATED Cannot pull .*: registry answered 401 /
const NEVER =
  'NOT_FOUND Cannot use "HOST/acme/app:v1": the pull policy is Never, and this node does not have it from an earlier pull with these credentials'

describe('what alice has pulled', () => {
  async function pulled(): Promise<Started> {
    const it = await started({ auth: PRIVATE })
    expect(await it.resolve({ keyring: ALICE })).toBe(V1.digest)
    it.takeRequests()
    return it
  }

  test('alice gets again without a request', async () => {
    await using it = await pulled()
    for (const policy of ['IfNotPresent', 'Never'] as const) {
      expect(await it.resolve({ keyring: ALICE, policy })).toBe(V1.digest)
      expect(await it.resolve({ keyring: ALICE, policy, name: `acme/app@${V1.digest}` })).toBe(
        V1.digest,
      )
    }
    expect(it.registry.requests).toEqual([])
  })

  test.for([
    ['nobody with a name', ANONYMOUS],
    ['alice with a wrong password', MALLORY],
  ] as const)('%s does not, be it by tag or by digest', async ([, keyring]) => {
    await using it = await pulled()
    expect(await it.resolve({ keyring })).toMatch(REFUSED)
    expect(await it.resolve({ keyring, name: `acme/app@${V1.digest}` })).toMatch(REFUSED)
    expect(await it.resolve({ keyring, policy: 'Always' })).toMatch(REFUSED)
    expect(await it.resolve({ keyring, policy: 'Never' })).toBe(NEVER)
    expect(it.takeRequests()).toEqual([])
  })

  test('bob gets when the registry sends him the manifest', async () => {
    await using it = await pulled()
    expect(await it.resolve({ keyring: BOB, policy: 'Never' })).toBe(NEVER)
    expect(await it.resolve({ keyring: BOB })).toBe(V1.digest)
    expect(it.takeRequests()).toEqual(['GET v1'])
    expect(await it.resolve({ keyring: BOB, policy: 'Never' })).toBe(V1.digest)
    expect(it.registry.requests).toEqual([])
  })

  test('does not say what the tag means for bob', async () => {
    await using it = await pulled()
    load(it.registry, 'acme/app:v1', V2)
    expect(await it.resolve({ keyring: BOB })).toBe(V2.digest)
    // Nor bob for alice.
    expect(await it.resolve({ keyring: ALICE })).toBe(V1.digest)
  })

  test('alice with IfNotPresent keeps when the registry is down; bob fails', async () => {
    await using it = await pulled()
    it.goDown()
    expect(await it.resolve({ keyring: ALICE })).toBe(V1.digest)
    expect(await it.resolve({ keyring: BOB })).toMatch(/^UNAVAILABLE /)
    expect(it.outages).toEqual([])
  })

  test('alice with Always keeps too, and the outage is told; bob fails', async () => {
    await using it = await pulled()
    it.goDown()
    expect(await it.resolve({ keyring: ALICE, policy: 'Always' })).toBe(V1.digest)
    expect(it.outages).toEqual([
      { reference: `${it.registry.host}/acme/app:v1`, digest: V1.digest },
    ])
    expect(await it.resolve({ keyring: BOB, policy: 'Always' })).toMatch(/^UNAVAILABLE /)
  })

  test('but not with Always when the registry refuses her', async () => {
    await using it = await pulled()
    it.registry.fault({}, { kind: 'status', status: 403 })
    expect(await it.resolve({ keyring: ALICE, policy: 'Always' })).toMatch(/^DENIED /)
  })
})

test('a registry that hangs is not waited for longer than patience, where the node has what the tag meant', async () => {
  await using it = await started({ patienceMs: 1 })
  await it.resolve()
  using gate = it.registry.hold({ method: 'HEAD' })
  expect(await it.resolve({ policy: 'Always' })).toBe(V1.digest)
  expect([gate.arrivals <= 1, it.outages.length]).toEqual([true, 1])
})

test('a refusal that comes after patience is over is still a refusal for the next one', async () => {
  await using it = await started({ auth: PRIVATE, patienceMs: 1 })
  await it.resolve({ keyring: ALICE })
  using gate = it.registry.hold({ method: 'HEAD' })
  it.registry.fault({}, { kind: 'status', status: 403 })
  const always = { keyring: ALICE, policy: 'Always' } as const
  expect(await it.resolve(always)).toBe(V1.digest)
  gate.release()
  await expect
    .poll(() => it.resolve(always), { timeout: 20_000 })
    .toMatch(/^DENIED .*(403|remembered)/)
})

test('a tag that moved to what the registry cannot send keeps its meaning, and gets the new one later', async () => {
  await using it = await started()
  await it.resolve()
  load(it.registry, 'acme/app:v1', V2)
  const fault = it.registry.fault({ method: 'GET' }, { kind: 'status', status: 503 })
  expect(await it.resolve({ policy: 'Always' })).toBe(V1.digest)
  expect(it.outages.length).toBe(1)
  fault.remove()
  expect(await it.resolve({ policy: 'Always' })).toBe(V2.digest)
  expect(await it.resolve()).toBe(V2.digest)
})

describe('a proof that is older than a day', () => {
  async function aged(name?: string): Promise<Started> {
    const it = await started({ auth: PRIVATE })
    load(it.registry, 'acme/index:v1', BOTH)
    expect(await it.resolve({ keyring: ALICE, ...(name && { name }) })).toBe(V1.digest)
    it.pass(25 * HOUR_MS)
    it.takeRequests()
    return it
  }

  test.for(['IfNotPresent', 'Never'] as const)(
    'is made anew by one GET with %s, and counts for a day again',
    async (policy) => {
      await using it = await aged()
      // IfNotPresent keeps what the tag meant, as the kubelet does.
      load(it.registry, 'acme/app:v1', V2)
      expect(await it.resolve({ keyring: ALICE, policy })).toBe(V1.digest)
      expect(it.takeRequests()).toEqual([`GET ${V1.digest}`])
      it.pass(23 * HOUR_MS)
      expect(await it.resolve({ keyring: ALICE, policy })).toBe(V1.digest)
      expect(it.registry.requests).toEqual([])
    },
  )

  test('of an index is made anew with that of the manifest in it', async () => {
    await using it = await aged('acme/index:v1')
    const asked = { keyring: ALICE, policy: 'Never', name: 'acme/index:v1' } as const
    expect(await it.resolve(asked)).toBe(V1.digest)
    expect(it.takeRequests()).toEqual([`GET ${BOTH.digest}`, `GET ${V1.digest}`])
  })

  test('still holds as long as it is not', async () => {
    await using it = await aged()
    it.pass(-2 * HOUR_MS)
    it.goDown()
    expect(await it.resolve({ keyring: ALICE })).toBe(V1.digest)
  })

  test('is none while the registry is down, and the message says why', async () => {
    await using it = await aged()
    it.goDown()
    const outcome = await it.resolve({ keyring: ALICE })
    expect(outcome).toMatch(/^UNAVAILABLE Cannot pull "HOST\/acme\/app@sha256:.*broke/)
    expect(outcome).toMatch(
      /; this node has it, but these credentials last proved access 25 h ago and are to prove it again after 24 h \(the driver's --access-max-age\)$/,
    )
    expect(await it.resolve({ keyring: ALICE, policy: 'Always' })).toMatch(/^UNAVAILABLE /)
    expect(it.outages).toEqual([])
  })

  test('is no permission when the registry has changed its mind', async () => {
    await using it = await aged()
    it.registry.fault({}, { kind: 'status', status: 403 })
    for (const policy of ['IfNotPresent', 'Never'] as const) {
      expect(await it.resolve({ keyring: ALICE, policy })).toMatch(/^DENIED .* 403/)
    }
  })

  test('of what the registry no longer has leads to what the tag means now', async () => {
    await using it = await aged()
    it.registry.remove('acme/app', V1.digest)
    load(it.registry, 'acme/app:v1', V2)
    expect(await it.resolve({ keyring: ALICE })).toBe(V2.digest)
  })
})

describe('attack:', () => {
  test('a HEAD that says yes proves nothing', async () => {
    await using it = await started({ auth: PRIVATE })
    expect(await it.resolve({ keyring: BOB })).toBe(V1.digest)
    load(it.registry, 'acme/app:v1', V2)
    expect(await it.resolve({ keyring: ALICE })).toBe(V2.digest)
    // V2 is on the node by now, and the registry says to bob that the tag means it, and not more.
    it.registry.fault({ method: 'GET' }, { kind: 'status', status: 403 })
    expect(await it.resolve({ keyring: BOB, policy: 'Always' })).toMatch(/^DENIED /)
    expect(await it.resolve({ keyring: BOB, name: `acme/app@${V2.digest}` })).toMatch(/^DENIED /)
    expect(it.registry.count('HEAD')).toBeGreaterThan(0)
    expect(await it.resolve({ keyring: BOB, policy: 'Never' })).toBe(V1.digest)
  })

  test('what the registry tells alice that a tag means is not told to anybody, although anybody may read the manifest', async () => {
    await using it = await started({ auth: PRIVATE })
    expect(await it.resolve({ keyring: ALICE })).toBe(V1.digest)
    load(it.registry, 'acme/app:v1', V2)
    expect(await it.resolve({ keyring: ALICE, name: `acme/app@${V2.digest}` })).toBe(V2.digest)
    const reference = parseReference(`${it.registry.host}/acme/app:v1`)
    // The latest proof is anybody's.
    it.pass(1)
    await it.access.recordProof(reference, V2.digest, ANYONE)
    expect(await it.resolve({ keyring: ALICE, policy: 'Always' })).toBe(V2.digest)
    expect(await it.access.tagDigest(reference, [ANYONE])).toBeUndefined()
    expect(await it.resolve({ policy: 'Never' })).toBe(NEVER)
    expect(await it.resolve({ keyring: ALICE, policy: 'Never' })).toBe(V2.digest)
  })

  test('a manifest that somebody else than the registry sent proves nothing, and is not shown', async () => {
    await using it = await started({
      wrap: (source) => ({
        ...source,
        manifest: async (reference, call) => ({
          ...(await source.manifest(reference, call)),
          authoritative: false,
        }),
      }),
    })
    const refused =
      'DENIED Cannot pull "HOST/acme/app:v1": the manifest came from a mirror that does not check who may read it; expected it from the registry\'s server, or from a mirror that the admin vouches for in the hosts.toml of the registry'
    expect(await it.resolve()).toBe(refused)
    const reference = parseReference(`${it.registry.host}/acme/app:v1`)
    expect(await it.access.proof(reference, V1.digest, [ANYONE])).toBeUndefined()
    expect(await it.access.tagDigest(reference, [ANYONE])).toBeUndefined()
  })

  test('manifests are asked of hosts that check who may read, and of no other', async () => {
    const calls: (boolean | undefined)[] = []
    await using it = await started({
      wrap: (source) => ({
        ...source,
        manifest: (reference, call) => {
          calls.push(call.authoritativeOnly)
          return source.manifest(reference, call)
        },
      }),
    })
    await it.resolve()
    load(it.registry, 'acme/app:v1', V2)
    await it.resolve({ policy: 'Always' })
    expect(calls).toEqual([true, true])
  })

  test("a captive portal's page does not stick to a tag", async () => {
    await using it = await started()
    const portal = it.registry.fault(
      { method: 'GET' },
      {
        kind: 'status',
        status: 200,
        headers: { 'content-type': 'text/html' },
        body: '<html>Please log in to the hotel</html>',
      },
    )
    expect(await it.resolve()).toMatch(/^CORRUPT Cannot use "HOST\/acme\/app:v1": /)
    const reference = parseReference(`${it.registry.host}/acme/app:v1`)
    expect(await it.access.tagDigest(reference, [ANYONE])).toBeUndefined()
    portal.remove()
    expect(await it.resolve()).toBe(V1.digest)
  })

  test('nor does what parses as nothing that can be used', async () => {
    await using it = await started()
    const broken = manifestOf({ schemaVersion: 2, mediaType: OCI_MANIFEST, layers: 'none' })
    load(it.registry, 'acme/app:v1', broken)
    expect(await it.resolve()).toMatch(/^CORRUPT /)
    const reference = parseReference(`${it.registry.host}/acme/app:v1`)
    expect(await it.access.tagDigest(reference, [ANYONE])).toBeUndefined()
    expect(await it.access.proof(reference, broken.digest, [ANYONE])).toBeUndefined()
  })
})

describe('a refusal', () => {
  test('is remembered for ten seconds for those credentials, and not for others', async () => {
    await using it = await started({ auth: PRIVATE })
    expect(await it.resolve({ keyring: MALLORY })).toMatch(REFUSED)
    it.registry.clearRequests()
    it.pass(2_500)
    expect(await it.resolve({ keyring: MALLORY })).toMatch(
      /tried secret, anonymous access; remembered, the registry is asked again in 8 s$/,
    )
    expect(it.registry.requests).toEqual([])
    expect(await it.resolve({ keyring: BOB })).toBe(V1.digest)
    it.pass(7_500)
    it.registry.clearRequests()
    expect(await it.resolve({ keyring: MALLORY })).toMatch(REFUSED)
    expect(it.registry.requests.length).toBeGreaterThan(0)
  })

  test('of a tag that is not there ends when somebody is sent it', async () => {
    await using it = await started({ auth: PRIVATE })
    const missing = { name: 'acme/app:v2', keyring: BOB }
    expect(await it.resolve(missing)).toMatch(/^NOT_FOUND /)
    load(it.registry, 'acme/app:v2', V2)
    expect(await it.resolve(missing)).toMatch(/remembered, the registry is asked again in 10 s$/)
    expect(await it.resolve({ ...missing, keyring: ALICE })).toBe(V2.digest)
    expect(await it.resolve(missing)).toBe(V2.digest)
  })

  test('is none when the registry is overloaded: the next call asks', async () => {
    await using it = await started()
    const fault = it.registry.fault({ times: 1 }, { kind: 'status', status: 503 })
    expect(await it.resolve()).toMatch(/^UNAVAILABLE /)
    expect(fault.hits).toBe(1)
    expect(await it.resolve()).toBe(V1.digest)
  })
})

test('pods with the same credentials that start together make one request for a tag, and one for its manifest', async () => {
  await using it = await started({ auth: PRIVATE })
  await Promise.all(Array.from({ length: 20 }, () => it.resolve({ keyring: ALICE })))
  expect(it.takeRequests()).toEqual(['GET v1'])
  load(it.registry, 'acme/app:v1', V2)
  const always = { keyring: ALICE, policy: 'Always' } as const
  await Promise.all(Array.from({ length: 20 }, () => it.resolve(always)))
  expect(it.takeRequests()).toEqual(['HEAD v1', `GET ${V2.digest}`])
})

test('a source that fails in a way of its own is not taken for an outage', async () => {
  let broken = false
  await using it = await started({
    wrap: (source) => ({
      ...source,
      resolve: (reference, call) =>
        broken
          ? Promise.reject(new CodedError('CORRUPT', `Cannot pull: other bytes`))
          : source.resolve(reference, call),
    }),
  })
  await it.resolve()
  broken = true
  expect(await it.resolve({ policy: 'Always' })).toBe('CORRUPT Cannot pull: other bytes')
})

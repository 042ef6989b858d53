import { readdir, stat } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { digestHex } from '../../common/oci/digest.ts'
import { artifact, type Built, load } from '../support/artifact.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { contentOf } from '../support/registry/content.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { ALICE, ANNA, BOB, startTenants, type Tenants } from './tenants-fixture.ts'

// Bob knows the digests of team a's artifact, runs a registry of his own, and may even have it put before the private one as a mirror: he
// never gets team a's bytes, be they on the node or on their way there.

const why = await whyNoMounts()
const DEADLINE_MS = 60_000
const SECRET = `the secret of team a, ${'with much more in it '.repeat(200_000)}`
const CREST = 'the crest of team a'
const SHOWN = CREST
const PRIVATE = artifact({
  layers: [
    { title: 'big.bin', content: SECRET },
    { title: 'secret.txt', content: CREST },
  ],
})
const [BIG, SMALL] = [SECRET, CREST].map((content) => {
  const digest = [...PRIVATE.blobs].find(([, bytes]) => bytes.equals(Buffer.from(content)))?.[0]
  if (digest === undefined) throw new Error('no such blob')
  return { digest, size: Buffer.byteLength(content), content }
})
if (BIG === undefined || SMALL === undefined) throw new Error('no blobs')

/** Of one blob; a body that is held would otherwise soon have company. */
const ONE_CONNECTION = ['--max-connections-per-blob', '1']

/** A manifest of bob's own that lists what is team a's. */
const EVIL = artifact({
  layers: [
    { title: 'big.bin', digest: BIG.digest, size: BIG.size },
    { title: 'secret.txt', digest: SMALL.digest, size: SMALL.size },
  ],
  annotations: { of: 'bob' },
})
/** The same of the big one alone, which is on its way for longer. */
const EVIL_BIG = artifact({
  layers: [{ title: 'secret.txt', digest: BIG.digest, size: BIG.size }],
})
/** The very manifest of team a, whose tree would have the same name. */
const COPIED: Built = { ...PRIVATE, blobs: new Map() }

/** Bob's: says yes to every HEAD, and has manifests without a blob. */
async function startHostile(): Promise<TestRegistry> {
  const hostile = await startRegistry()
  load(hostile, 'bob/evil:v1', { ...EVIL, blobs: new Map() })
  load(hostile, 'bob/big:v1', { ...EVIL_BIG, blobs: new Map() })
  load(hostile, 'bob/copied:v1', COPIED)
  // As a mirror, it is asked for team a's repository.
  load(hostile, 'team-a/app:v1', COPIED)
  hostile.fault(
    { method: 'HEAD', path: '*/blobs/*' },
    { kind: 'status', status: 200, headers: { 'content-length': String(BIG?.size) } },
  )
  return hostile
}

interface Attack extends AsyncDisposable {
  readonly it: Tenants
  readonly hostile: TestRegistry
}

async function startAttack(): Promise<Attack> {
  await using stack = new AsyncDisposableStack()
  const hostile = stack.use(await startHostile())
  const it = stack.use(await startTenants({ others: [hostile], driver: { args: ONE_CONNECTION } }))
  load(it.registry, 'team-a/app:v1', PRIVATE)
  const made = stack.move()
  return { it, hostile, [Symbol.asyncDispose]: () => made.disposeAsync() }
}

/** Begins alice's pull, and holds it in the middle of the big blob, when the small one is here. */
async function holdAlice({ registry, publish }: Tenants) {
  const gate = registry.hold({
    method: 'GET',
    path: `*/blobs/${BIG?.digest}`,
    afterBytes: 100,
  })
  const alice = publish({ secret: ALICE })
  alice.catch(() => undefined)
  await gate.arrived
  await expect
    .poll(
      () =>
        registry.requests.some(
          ({ path, ended, status }) =>
            path.endsWith(SMALL?.digest ?? '?') && ended && status === 200,
        ),
      { timeout: DEADLINE_MS / 2 },
    )
    .toBe(true)
  return { alice, release: gate.release, [Symbol.dispose]: gate.release }
}

/** The ways in which bob's pod asks for what is not his; each is refused, and by whom tells the code. */
async function expectRefused({ it, hostile }: Attack): Promise<void> {
  const bodies = it.blobBodies()
  for (const name of ['bob/evil:v1', 'bob/big:v1', 'bob/copied:v1', `bob/evil@${EVIL.digest}`]) {
    // Who joins a download that is held waits for it: until this, and not until the test's own end.
    const deadlineMs = DEADLINE_MS / 3
    const outcome = await it.publish({ name: `${hostile.host}/${name}`, deadlineMs })
    expect([name, outcome]).toEqual([
      name,
      expect.stringMatching(/^NOT_FOUND Cannot pull .*: registry has no blob "?sha256:/),
    ])
  }
  expect(it.blobBodies()).toBe(bodies)
}

describe("attack: a manifest of bob's own registry lists what only team a may read", () => {
  test(
    'which is on the node: nothing of it is shown',
    async (context) => {
      skipUnless(context, why)
      await using attack = await startAttack()
      expect(await attack.it.publish({ secret: ALICE })).toBe(SHOWN)
      await expectRefused(attack)
    },
    DEADLINE_MS,
  )

  test(
    'which is still on its way: nothing of it is shown, and the download is not joined',
    async (context) => {
      skipUnless(context, why)
      await using attack = await startAttack()
      const { it } = attack
      using gate = await holdAlice(it)
      await expectRefused(attack)
      gate.release()
      expect(await gate.alice).toBe(SHOWN)
      await expectRefused(attack)
    },
    DEADLINE_MS,
  )

  test(
    'and sends other bytes for it: they are refused, and what is there stays as it is',
    async (context) => {
      skipUnless(context, why)
      await using attack = await startAttack()
      const { it, hostile } = attack
      expect(await it.publish({ secret: ALICE })).toBe(SHOWN)
      for (const { digest, size } of [BIG, SMALL]) {
        hostile.fault(
          { method: 'GET', path: `*/blobs/${digest}` },
          { kind: 'status', status: 200, body: 'x'.repeat(size) },
        )
      }
      expect(await it.publish({ name: `${hostile.host}/bob/evil:v1` })).toMatch(/^DATA_LOSS /)
      expect(await it.publish({ secret: ALICE, policy: 'Never' })).toBe(SHOWN)
    },
    DEADLINE_MS,
  )

  test(
    'and has all of it: it is downloaded in full, and then one file on the disk',
    async (context) => {
      skipUnless(context, why)
      await using attack = await startAttack()
      const { it, hostile } = attack
      expect(await it.publish({ secret: ALICE })).toBe(SHOWN)
      const before = await blobsOnDisk(it)
      for (const { content } of [BIG, SMALL])
        hostile.addBlob('bob/evil', contentOf(Buffer.from(content)))
      expect(await it.publish({ name: `${hostile.host}/bob/evil:v1` })).toBe(SHOWN)
      const sent = hostile.requests.reduce((sum, { bytesSent }) => sum + bytesSent, 0)
      expect(sent).toBeGreaterThanOrEqual(BIG.size + SMALL.size)
      expect(await blobsOnDisk(it)).toEqual(before)
    },
    DEADLINE_MS,
  )
})

describe("attack: bob's registry is a mirror of the private one that the admin does not vouch for", () => {
  const ways = ['team-a/app:v1', `team-a/app@${PRIVATE.digest}`] as const

  async function startMirrored(): Promise<Attack> {
    const attack = await startAttack()
    const { it, hostile } = attack
    await it.node.configure(
      it.registry.host,
      `server = "${it.registry.url}"`,
      `[host."${hostile.url}"]`,
      'capabilities = ["pull", "resolve"]',
    )
    return attack
  }

  async function expectMirrorRefused({ it, hostile }: Attack): Promise<void> {
    const bodies = it.blobBodies()
    for (const name of ways) {
      for (const pod of [{ name }, { name, secret: BOB }]) {
        expect(await it.publish(pod)).toMatch(/^(UNAUTHENTICATED|PERMISSION_DENIED) Cannot pull /)
      }
    }
    // Nor is it told who somebody is.
    expect(hostile.requests.filter(({ authorization }) => authorization !== 'none')).toEqual([])
    expect(it.blobBodies()).toBe(bodies)
  }

  test(
    'it answers for whom the registry refuses: nothing is shown, before and after alice has pulled',
    async (context) => {
      skipUnless(context, why)
      await using attack = await startMirrored()
      const { it, hostile } = attack
      await expectMirrorRefused(attack)
      expect(await it.publish({ secret: ALICE })).toBe(SHOWN)
      // The mirror was asked for blobs, which it has not, and nobody asked it for a manifest: that would prove nothing.
      expect(hostile.count('GET', '*/blobs/*')).toBeGreaterThan(0)
      expect(hostile.count('GET', '*/manifests/*')).toBe(0)
      await it.restart({ args: [...ONE_CONNECTION, '--refusal-memory', '0s'] })
      await expectMirrorRefused(attack)
      expect(await it.publish({ secret: ANNA })).toBe(SHOWN)
    },
    DEADLINE_MS,
  )

  test(
    'the same while alice pulls',
    async (context) => {
      skipUnless(context, why)
      await using attack = await startMirrored()
      const { it } = attack
      using gate = await holdAlice(it)
      await expectMirrorRefused(attack)
      gate.release()
      expect(await gate.alice).toBe(SHOWN)
    },
    DEADLINE_MS,
  )

  test(
    'it says what a tag means: what bob may not read he is not shown by it',
    async (context) => {
      skipUnless(context, why)
      await using attack = await startMirrored()
      const { it, hostile } = attack
      expect(await it.publish({ secret: ALICE })).toBe(SHOWN)
      const own = artifact({ layers: [{ title: 'secret.txt', content: "bob's own" }] })
      load(it.registry, 'team-b/app:v1', own)
      expect(await it.publish({ name: 'team-b/app:v1', secret: BOB })).toBe("bob's own")
      load(hostile, 'team-b/app:v1', COPIED)
      // The registry has no such manifest in bob's repository, whatever the mirror says.
      expect(await it.publish({ name: 'team-b/app:v1', secret: BOB, policy: 'Always' })).toMatch(
        /^NOT_FOUND Cannot use .*: cannot pull .*: registry has no manifest /,
      )
    },
    DEADLINE_MS,
  )

  test(
    'the registry is down: the mirror alone opens nothing to whom nothing is recorded for',
    async (context) => {
      skipUnless(context, why)
      await using attack = await startMirrored()
      const { it } = attack
      expect(await it.publish({ secret: ALICE })).toBe(SHOWN)
      it.registry.fault({}, { kind: 'disconnect' })
      expect(await it.publish({ secret: ALICE, policy: 'Always' })).toBe(SHOWN)
      expect(await it.publish({ secret: BOB })).toMatch(/^UNAVAILABLE Cannot pull /)
      expect(await it.publish({})).toMatch(/^UNAVAILABLE Cannot pull /)
    },
    DEADLINE_MS,
  )
})

describe('on the private registry itself', () => {
  test(
    "attack: a manifest in bob's repository lists a blob of team a that is on the node: the registry is asked, and says no",
    async (context) => {
      skipUnless(context, why)
      await using attack = await startAttack()
      const { it } = attack
      expect(await it.publish({ secret: ALICE })).toBe(SHOWN)
      load(it.registry, 'team-b/evil:v1', { ...EVIL, blobs: new Map() })
      const bodies = it.blobBodies()
      expect(await it.publish({ name: 'team-b/evil:v1', secret: BOB })).toMatch(
        /^NOT_FOUND Cannot pull .*: registry has no blob /,
      )
      expect(it.blobBodies()).toBe(bodies)
    },
    DEADLINE_MS,
  )

  test(
    'a blob that both teams have is not downloaded twice: the registry says yes to a HEAD',
    async (context) => {
      skipUnless(context, why)
      await using attack = await startAttack()
      const { it } = attack
      expect(await it.publish({ secret: ALICE })).toBe(SHOWN)
      const shared = artifact({
        layers: [
          { title: 'big.bin', content: SECRET },
          { title: 'secret.txt', content: CREST },
        ],
        annotations: { of: 'bob' },
      })
      load(it.registry, 'team-b/shared:v1', shared)
      it.registry.clearRequests()
      expect(await it.publish({ name: 'team-b/shared:v1', secret: BOB })).toBe(SHOWN)
      expect(it.blobBodies()).toBe(0)
      const heads = it.registry.requests.filter(
        ({ method, path, status }) =>
          method === 'HEAD' && path.includes('/blobs/') && status === 200,
      )
      expect(heads.map(({ path }) => path).sort()).toEqual(
        [BIG, SMALL].map(({ digest }) => `/v2/team-b/shared/blobs/${digest}`).sort(),
      )
    },
    DEADLINE_MS,
  )

  test(
    'who may not is refused at once while another pulls, and who may joins him: one download',
    async (context) => {
      skipUnless(context, why)
      await using attack = await startAttack()
      const { it } = attack
      using gate = await holdAlice(it)
      expect(await it.publish({ secret: BOB })).toMatch(/^UNAUTHENTICATED |^PERMISSION_DENIED /)
      expect(await it.publish({})).toMatch(/^UNAUTHENTICATED |^PERMISSION_DENIED /)
      const anna = it.publish({ secret: ANNA })
      await expect
        .poll(
          () =>
            it.registry.requests.filter(
              ({ path, status }) => path.endsWith('/manifests/v1') && status === 200,
            ).length,
          { timeout: DEADLINE_MS / 2 },
        )
        .toBe(2)
      gate.release()
      expect([await gate.alice, await anna]).toEqual([SHOWN, SHOWN])
      expect(it.registry.count('GET', `*/blobs/${SMALL?.digest}`)).toBeLessThanOrEqual(2)
      const whole = it.registry.requests.filter(
        ({ path, range, status }) =>
          path.endsWith(BIG.digest) && range === undefined && status === 200,
      )
      expect(whole.length).toBe(1)
    },
    DEADLINE_MS,
  )

  test(
    'who has joined is not told what only the first one is refused',
    async (context) => {
      skipUnless(context, why)
      await using stack = new AsyncDisposableStack()
      const users = { alice: ALICE.password, anna: ANNA.password }
      const it = stack.use(await startTenants({ auth: { kind: 'basic', users } }))
      load(it.registry, 'team-a/app:v1', PRIVATE)
      const basic = `Basic ${Buffer.from(`alice:${ALICE.password}`).toString('base64')}`
      const ofAlice = {
        path: '*/blobs/*',
        where: ({ headers }: { headers: { authorization?: string | undefined } }) =>
          headers.authorization === basic,
      }
      using gate = it.registry.hold(ofAlice)
      it.registry.fault(ofAlice, { kind: 'status', status: 403 })
      const alice = it.publish({ secret: ALICE })
      alice.catch(() => undefined)
      await gate.arrived
      const anna = it.publish({ secret: ANNA })
      await expect
        .poll(
          () =>
            it.registry.requests.filter(
              ({ path, status }) => path.endsWith('/manifests/v1') && status === 200,
            ).length,
          { timeout: DEADLINE_MS / 2 },
        )
        .toBe(2)
      gate.release()
      expect(await alice).toMatch(/^PERMISSION_DENIED .* 403/)
      expect(await anna).toBe(SHOWN)
    },
    DEADLINE_MS,
  )
})

/** The names of blobs and the inode of each: a second file would show. */
async function blobsOnDisk({ node }: Tenants): Promise<readonly (readonly [string, number])[]> {
  const directory = `${node.storeDirectory}/blobs`
  const names = await readdir(directory, { recursive: true })
  const files = names.filter((name) => /\/[0-9a-f]{64}$/.test(name)).sort()
  const hexes = [BIG, SMALL].map((blob) => blob && digestHex(blob.digest))
  expect(files.map((name) => name.split('/').at(-1)).sort()).toEqual(hexes.sort())
  return Promise.all(
    files.map(async (name) => [name, (await stat(`${directory}/${name}`)).ino] as const),
  )
}

import { readdir, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { artifact, load } from '../support/artifact.ts'
import { sampleOf, scrape } from '../support/metrics.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { withMessage } from '../support/process.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { ALICE, ANNA, BOB, startTenants, type Tenants } from './tenants-fixture.ts'

// Two teams on one node and one private registry: what one of them has pulled is no permission for the other.

const why = await whyNoMounts()
const DEADLINE_MS = 60_000
const PRIVATE = artifact({ layers: [{ title: 'secret.txt', content: 'the secret of team a' }] })
const MOVED = artifact({ layers: [{ title: 'secret.txt', content: 'another secret' }] })
const OPEN = artifact({ layers: [{ title: 'secret.txt', content: 'no secret' }] })
const SHOWN = 'the secret of team a'
const NEVER =
  /^NOT_FOUND Cannot use "HOST\/team-a\/app[:@].*": the pull policy is Never, and this node does not have it from an earlier pull with these credentials$/
const REFUSED = /^(UNAUTHENTICATED|PERMISSION_DENIED) Cannot pull "HOST\/team-a\/app[:@].*"/

/** Alice has pulled, and runs no pod any more. */
async function afterAlice(): Promise<Tenants> {
  const it = await startTenants()
  load(it.registry, 'team-a/app:v1', PRIVATE)
  load(it.registry, 'open/app:v1', OPEN)
  expect(await it.publish({ secret: ALICE })).toBe(SHOWN)
  return it
}

/** Everybody who may not, by every way: each is refused, without a byte of the artifact. */
async function expectOthersRefused(it: Tenants, refused: RegExp): Promise<void> {
  const bodies = it.blobBodies()
  const expired = it.registry.accessToken('alice', 'team-a/app')
  it.registry.expireTokens()
  const others = {
    'no secret': undefined,
    'a wrong password': { ...ALICE, password: 'wrong-guess-of-mallory' },
    'the password of another team': BOB,
    'an expired token': { registrytoken: expired },
    'a token that nobody gave': { identitytoken: 'token-nobody-gave-out' },
  }
  for (const [who, secret] of Object.entries(others)) {
    const pod = secret === undefined ? {} : { secret }
    for (const name of ['team-a/app:v1', `team-a/app@${PRIVATE.digest}`]) {
      expect([who, await it.publish({ ...pod, name })]).toEqual([
        who,
        expect.stringMatching(refused),
      ])
      expect([who, await it.publish({ ...pod, name, policy: 'Never' })]).toEqual([
        who,
        expect.stringMatching(NEVER),
      ])
    }
    expect([who, await it.publish({ ...pod, policy: 'Always' })]).toEqual([
      who,
      expect.stringMatching(refused),
    ])
  }
  expect(it.blobBodies()).toBe(bodies)
}

test(
  'what team a has pulled is refused to everybody else, although it is there',
  async (context) => {
    skipUnless(context, why)
    await using it = await afterAlice()
    await expectOthersRefused(it, REFUSED)
  },
  DEADLINE_MS,
)

test(
  'with the same secret it is there without a request, with another that is as good by one request and no download',
  async (context) => {
    skipUnless(context, why)
    await using it = await afterAlice()
    it.registry.clearRequests()
    expect(await it.publish({ secret: ALICE })).toBe(SHOWN)
    expect(await it.publish({ secret: ALICE, policy: 'Never' })).toBe(SHOWN)
    expect(it.registry.requests).toEqual([])
    expect(await it.publish({ secret: ANNA, policy: 'Never' })).toMatch(NEVER)
    expect(await it.publish({ secret: ANNA })).toBe(SHOWN)
    const answered = it.registry.requests.filter(
      ({ path, status }) => path !== '/token' && status === 200,
    )
    expect(answered.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'GET /v2/team-a/app/manifests/v1',
    ])
    it.registry.clearRequests()
    expect(await it.publish({ secret: ANNA, policy: 'Never' })).toBe(SHOWN)
    expect(it.registry.requests).toEqual([])
  },
  DEADLINE_MS,
)

test(
  'a secret does not keep what anyone may have from anyone',
  async (context) => {
    skipUnless(context, why)
    await using it = await afterAlice()
    expect(await it.publish({ name: 'open/app:v1' })).toBe('no secret')
    expect(await it.publish({ name: 'open/app:v1', secret: BOB })).toBe('no secret')
  },
  DEADLINE_MS,
)

test(
  'the registry is down: team a starts pods, also with Always, and nobody else does; the same after the driver was killed',
  async (context) => {
    skipUnless(context, why)
    await using it = await afterAlice()
    const down = it.registry.fault({}, { kind: 'disconnect' })
    const check = async (starts: number) => {
      expect(await it.publish({ secret: ALICE })).toBe(SHOWN)
      expect(await it.publish({ secret: ALICE, name: `team-a/app@${PRIVATE.digest}` })).toBe(SHOWN)
      expect(await it.publish({ secret: ALICE, policy: 'Never' })).toBe(SHOWN)
      expect(await it.publish({ secret: ALICE, policy: 'Always' })).toBe(SHOWN)
      const { json } = await it.driver.process.waitForLine(
        withMessage('the registry does not answer, showing what the tag last meant'),
      )
      expect([json?.['reference'], json?.['digest']]).toEqual([
        `${it.registry.host}/team-a/app:v1`,
        PRIVATE.digest,
      ])
      expect(sampleOf(await scrape(it.driver.healthUrl), 'oras_csi_outage_starts_total')).toBe(
        starts,
      )
      for (const secret of [BOB, ANNA]) {
        expect(await it.publish({ secret })).toMatch(/^UNAVAILABLE /)
        expect(await it.publish({ secret, policy: 'Never' })).toMatch(NEVER)
      }
      expect(await it.publish({})).toMatch(/^UNAVAILABLE /)
    }
    await check(1)
    await it.restart()
    await check(1)

    // And when it is back, a tag that has moved means what it means.
    down.remove()
    load(it.registry, 'team-a/app:v1', MOVED)
    expect(await it.publish({ secret: ALICE, policy: 'Always' })).toBe('another secret')
  },
  2 * DEADLINE_MS,
)

test(
  'after the driver was killed, everybody else is refused as before',
  async (context) => {
    skipUnless(context, why)
    await using it = await afterAlice()
    await it.restart()
    expect(await it.publish({ secret: ALICE, policy: 'Never' })).toBe(SHOWN)
    await expectOthersRefused(it, REFUSED)
  },
  DEADLINE_MS,
)

test(
  'a proof is made anew after --access-max-age, and is none when the registry cannot be asked',
  async (context) => {
    skipUnless(context, why)
    await using it = await afterAlice()
    await it.restart({ args: ['--access-max-age', '0s'] })
    it.registry.clearRequests()
    const bodies = it.blobBodies()
    expect(await it.publish({ secret: ALICE })).toBe(SHOWN)
    const manifests = it.registry.requests.filter(({ path }) => path.includes('/manifests/'))
    expect(manifests.at(-1)?.path).toBe(`/v2/team-a/app/manifests/${PRIVATE.digest}`)
    expect(it.blobBodies()).toBe(bodies)
    using _down = undoing(it.registry.fault({}, { kind: 'disconnect' }))
    for (const policy of ['IfNotPresent', 'Always', 'Never'] as const) {
      expect(await it.publish({ secret: ALICE, policy })).toMatch(/^UNAVAILABLE /)
    }
  },
  DEADLINE_MS,
)

test(
  'records that cannot be read are no records, and are written again',
  async (context) => {
    skipUnless(context, why)
    await using it = await afterAlice()
    const directory = `${it.node.storeDirectory}/access`
    for (const name of await readdir(directory, { recursive: true })) {
      if (name.endsWith('.json'))
        await writeFile(`${directory}/${name}`, '{"entries":{"anyone":1}}')
    }
    expect(await it.publish({ secret: ALICE, policy: 'Never' })).toMatch(NEVER)
    expect(await it.publish({})).toMatch(REFUSED)
    expect(await it.publish({ secret: ALICE })).toBe(SHOWN)
    expect(await it.publish({ secret: ALICE, policy: 'Never' })).toBe(SHOWN)
  },
  DEADLINE_MS,
)

test(
  'a refusal is remembered for the pod that crashes and comes again, and for no other',
  async (context) => {
    skipUnless(context, why)
    await using it = await afterAlice()
    const mallory = { secret: { ...ALICE, password: 'wrong-guess-of-mallory' } }
    expect(await it.publish(mallory)).toMatch(REFUSED)
    it.registry.clearRequests()
    expect(await it.publish(mallory)).toMatch(
      /; remembered, the registry is asked again in ([1-9]|10) s$/,
    )
    expect(it.registry.requests).toEqual([])
    expect(await it.publish({ secret: ANNA })).toBe(SHOWN)
  },
  DEADLINE_MS,
)

describe('a registry that never answers', () => {
  test(
    'is asked a few times and then left alone, while what is there starts',
    async (context) => {
      skipUnless(context, why)
      await using it = await afterAlice()
      await it.restart({ args: ['--max-stall', '1s', '--registry-patience', '1s'] })
      using gate = it.registry.hold({})
      it.registry.clearRequests()
      const outcome = await it.publish({ name: 'open/app:v1' })
      expect(outcome).toMatch(/^UNAVAILABLE Cannot pull "HOST\/open\/app:v1": /)
      // Twice as long as a connection may be silent, instead of five times.
      expect(it.registry.requests.length).toBeLessThanOrEqual(3)
      const before = gate.arrivals
      expect(await it.publish({ name: 'open/app:v1' })).toMatch(
        /; after [0-9]+ s without an answer this is remembered, and it is asked again (in [0-9]+ s|soon)$/,
      )
      expect(await it.publish({ secret: ALICE })).toBe(SHOWN)
      expect(await it.publish({ secret: ALICE, policy: 'Always' })).toBe(SHOWN)
      // Whoever comes after the rest may try, alone.
      expect(gate.arrivals - before).toBeLessThanOrEqual(2)
    },
    DEADLINE_MS,
  )
})

function undoing(fault: { remove(): void }): Disposable {
  return { [Symbol.dispose]: () => fault.remove() }
}

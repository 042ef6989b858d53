import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../../common/oci/digest.ts'
import { parseReference } from '../../../common/oci/reference.ts'
import { ANYONE, createAccessStore, isOfAge, type Proof } from '../../../driver/store/access.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts'
import { openTestStore } from './open-test-store.ts'

const DIGEST = digestOf('manifest')
const APP = parseReference('ghcr.io/acme/app:v1')
const HOUR_MS = 60 * 60 * 1_000

/** The only file below a directory of the store. */
async function onlyFile(directory: TemporaryDirectory, place: string): Promise<string> {
  const [fan] = await readdir(directory.file(place))
  const [file, ...others] = await readdir(directory.file(place, fan ?? ''))
  expect(others).toEqual([])
  return directory.file(place, fan ?? '', file ?? '')
}

/** Access records whose clock the test sets, in a store of its own. */
async function openAccess() {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const store = stack.use(await openTestStore(directory.path))
  const clock = { nowMs: 1_000 }
  const access = createAccessStore({
    directories: { proofs: directory.file('access'), tags: directory.file('refs') },
    now: () => clock.nowMs,
  })
  const open = stack.move()
  return {
    ...{ directory, store, clock, access },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  }
}

test('a proof holds for its repository, digest and identity only', async () => {
  await using opened = await openAccess()
  const { access } = opened
  await access.recordProof(APP, DIGEST, 'alice')
  const proof = { identity: 'alice', provedMs: 1_000 }
  expect(await access.proof(APP, DIGEST, ['alice', ANYONE])).toEqual(proof)
  expect(await access.proof(parseReference('ghcr.io/acme/app:v2'), DIGEST, ['alice'])).toEqual(
    proof,
  )
  expect(await access.proof(APP, DIGEST, ['bob', ANYONE])).toBeUndefined()
  expect(await access.proof(APP, digestOf('x'), ['alice'])).toBeUndefined()
  for (const other of ['ghcr.io/acme/other:v1', 'quay.io/acme/app:v1']) {
    expect(await access.proof(parseReference(other), DIGEST, ['alice'])).toBeUndefined()
  }
})

test('of several identities, the latest proof counts', async () => {
  await using opened = await openAccess()
  const { access, clock } = opened
  await access.recordProof(APP, DIGEST, 'alice')
  clock.nowMs = 5_000
  await access.recordProof(APP, DIGEST, ANYONE)
  const latest = { identity: ANYONE, provedMs: 5_000 }
  expect(await access.proof(APP, DIGEST, ['alice', ANYONE])).toEqual(latest)
})

test('proving again makes a proof young', async () => {
  await using opened = await openAccess()
  const { access, clock } = opened
  await access.recordProof(APP, DIGEST, 'alice')
  clock.nowMs = 25 * HOUR_MS
  await access.recordProof(APP, DIGEST, 'alice')
  expect((await access.proof(APP, DIGEST, ['alice']))?.provedMs).toBe(25 * HOUR_MS)
})

test.for([
  { name: 'made just now', provedMs: 100, nowMs: 100, counts: true },
  { name: 'as old as it may be', provedMs: 0, nowMs: 50, counts: true },
  { name: 'older', provedMs: 0, nowMs: 51, counts: false },
  {
    name: 'from the future, made when the clock was wrong',
    provedMs: 101,
    nowMs: 100,
    counts: false,
  },
])('a proof that is $name counts: $counts', ({ provedMs, nowMs, counts }) => {
  const proof: Proof = { identity: 'alice', provedMs }
  expect(isOfAge(proof, nowMs, 50)).toBe(counts)
})

describe('a record that cannot be read is no record', () => {
  test.for([
    ['is empty', () => ''],
    ['is cut off', (text: string) => text.slice(0, -2)],
    ['is of an earlier driver, without ages', () => named({ alice: 1_700_000_000_000 })],
    ['has an age that is none', () => named({ alice: { provedMs: '0', usedMs: 0 } })],
    ['has no age', () => named({ alice: { usedMs: 0 } })],
    ['is about another manifest', (text: string) => text.replace('acme/app', 'acme/other')],
    ['holds something else', () => '{"name":"x","entries":{"alice":true}}'],
  ] as const)('that %s', async ([, spoil]) => {
    await using opened = await openAccess()
    const { access, directory } = opened
    await access.recordProof(APP, DIGEST, 'alice')
    const file = await onlyFile(directory, 'access')
    await writeFile(file, spoil(await readFile(file, 'utf8')))
    expect(await access.proof(APP, DIGEST, ['alice'])).toBeUndefined()
    // And the next proof makes it whole.
    await access.recordProof(APP, DIGEST, 'alice')
    expect(await access.proof(APP, DIGEST, ['alice'])).toEqual({
      identity: 'alice',
      provedMs: 1_000,
    })
  })

  const named = (entries: object) => JSON.stringify({ name: `ghcr.io/acme/app@${DIGEST}`, entries })
})

test('what is recorded after somebody has asked counts from then on, and what is removed no more', async () => {
  await using opened = await openAccess()
  const { access, clock } = opened
  await access.recordProof(APP, DIGEST, 'alice')
  await access.recordTag(APP, DIGEST, 'alice')
  expect(await access.proof(APP, DIGEST, ['bob'])).toBeUndefined()
  expect(await access.tagDigest(APP, ['alice'])).toBe(DIGEST)
  clock.nowMs += HOUR_MS
  const moved = digestOf('moved')
  await access.recordProof(APP, DIGEST, 'bob')
  await access.recordTag(APP, moved, 'alice')
  expect(await access.proof(APP, DIGEST, ['bob'])).toMatchObject({ provedMs: clock.nowMs })
  expect(await access.tagDigest(APP, ['alice'])).toBe(moved)
  await access.removeOld(Date.now() + HOUR_MS, async () => false)
  expect(await access.proof(APP, DIGEST, ['alice', 'bob'])).toBeUndefined()
  expect(await access.tagDigest(APP, ['alice'])).toBeUndefined()
})

test('one tenant never decides what a tag means for another', async () => {
  await using opened = await openAccess()
  const { access } = opened
  await access.recordTag(APP, DIGEST, 'alice')
  expect(await access.tagDigest(APP, ['bob', ANYONE])).toBeUndefined()
  expect(await access.tagDigest(APP, ['bob', 'alice'])).toBe(DIGEST)
})

test('records survive the driver, and are for root alone', async () => {
  await using directory = await temporaryDirectory()
  {
    await using store = await openTestStore(directory.path)
    await store.access.recordProof(APP, DIGEST, 'alice')
    await store.access.recordTag(APP, DIGEST, 'alice')
  }
  for (const place of ['access', 'refs']) {
    expect((await stat(await onlyFile(directory, place))).mode & 0o777).toBe(0o600)
  }
  await using store = await openTestStore(directory.path)
  expect((await store.access.proof(APP, DIGEST, ['alice']))?.identity).toBe('alice')
  expect(await store.access.tagDigest(APP, ['alice'])).toBe(DIGEST)
})

import { mkdir, readdir, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { digestOf } from '../../../../common/oci/digest.ts'
import { parseReference } from '../../../../common/oci/reference.ts'
import { createManifestParser } from '../../../../driver/pull/manifest/manifest-parser.ts'
import { DEFAULT_PULL_LIMITS } from '../../../../driver/pull/pull-limits.ts'
import { ANYONE, createAccessStore } from '../../../../driver/store/access.ts'
import { removeOldRecords } from '../../../../driver/store/eviction/old-records.ts'
import { artifact, type Built, index } from '../../../support/artifact.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'
import { openTestStore } from '../open-test-store.ts'
import { addTree } from './eviction-fixture.ts'

const DAY_MS = 24 * 60 * 60 * 1_000
const parseManifest = createManifestParser(DEFAULT_PULL_LIMITS.manifest)
const NAMES = ['shown', 'recent', 'forgotten'] as const

test('a month after its last use nobody remembers who may read what, but for what is on the node', async () => {
  await using directory = await temporaryDirectory()
  await using store = await openTestStore(directory.path)
  const longAgo = createAccessStore({
    directories: { proofs: directory.file('access'), tags: directory.file('refs') },
    now: () => Date.now() - 40 * DAY_MS,
  })
  const built = new Map<string, { readonly child: Built; readonly index: Built }>()
  for (const name of NAMES) {
    const child = artifact({ layers: [{ title: name, content: name }] })
    const parent = index([child])
    built.set(name, { child, index: parent })
    const reference = parseReference(`ghcr.io/acme/${name}:v1`)
    const access = name === 'recent' ? store.access : longAgo
    for (const { digest, manifest } of [child, parent]) {
      await store.manifests.put(digest, manifest)
      await access.recordProof(reference, digest, ANYONE)
    }
    await access.recordTag(reference, parent.digest, ANYONE)
  }
  // As the clock of the file system would have it.
  const then = Date.now() / 1_000 - (40 * DAY_MS) / 1_000
  for (const place of ['access', 'refs', 'manifests']) {
    for (const entry of await readdir(directory.file(place), { recursive: true })) {
      await utimes(directory.file(place, entry), then, then)
    }
  }
  const shown = built.get('shown')
  if (shown === undefined) throw new Error('nothing was built')
  const staging = await store.makeStaging()
  await mkdir(join(staging, 'root'))
  await store.trees.commit('a'.repeat(64), staging, {
    ...{ manifest: shown.child.digest, origins: [], blobs: [], bytes: 0, inodes: 0 },
  })
  await addTree(store, 'of another manifest')

  await removeOldRecords({ store, parseManifest, now: Date.now() })

  const known = async (name: string) => {
    const reference = parseReference(`ghcr.io/acme/${name}:v1`)
    const { child, index: parent } = built.get(name) ?? shown
    return {
      tag: (await store.access.tagDigest(reference, [ANYONE])) !== undefined,
      index: (await store.access.proof(reference, parent.digest, [ANYONE])) !== undefined,
      child: (await store.access.proof(reference, child.digest, [ANYONE])) !== undefined,
      manifests: [
        (await store.manifests.get(parent.digest)) !== undefined,
        (await store.manifests.get(child.digest)) !== undefined,
      ],
    }
  }
  const all = { tag: true, index: true, child: true, manifests: [true, true] }
  const none = { tag: false, index: false, child: false, manifests: [false, false] }
  expect({
    shown: await known('shown'),
    recent: await known('recent'),
    forgotten: await known('forgotten'),
  }).toEqual({ shown: all, recent: all, forgotten: none })
})

test('using what is known counts as a use, once a day', async () => {
  await using directory = await temporaryDirectory()
  await using store = await openTestStore(directory.path)
  let now = 0
  const access = createAccessStore({
    directories: { proofs: directory.file('access'), tags: directory.file('refs') },
    now: () => now,
  })
  const reference = parseReference('ghcr.io/acme/app:v1')
  const digest = digestOf('manifest')
  await access.recordProof(reference, digest, ANYONE)
  now = 40 * DAY_MS
  const proof = { identity: ANYONE, provedMs: 0 }
  expect(await access.proof(reference, digest, [ANYONE])).toEqual(proof)
  // Proved forty days ago, used just now.
  expect(await access.removeOld(now - 31 * DAY_MS, async () => false)).toEqual(new Set([digest]))
  // A use is no proof: the age stays.
  expect(await store.access.proof(reference, digest, [ANYONE])).toEqual(proof)
})

test('a cloud whose secrets change twice a day does not make a record grow for ever: those used last stay', async () => {
  await using directory = await temporaryDirectory()
  await using store = await openTestStore(directory.path)
  const reference = parseReference('ghcr.io/acme/app:v1')
  const digest = digestOf('manifest')
  await store.access.recordProof(reference, digest, 'first')
  for (let secret = 0; secret < 1_000; secret += 1) {
    if (secret === 500) await store.access.recordProof(reference, digest, 'first')
    await store.access.recordProof(reference, digest, `secret-${secret}`)
  }
  const isProven = async (identity: string) =>
    (await store.access.proof(reference, digest, [identity])) !== undefined
  expect([
    await isProven('first'),
    await isProven('secret-0'),
    await isProven('secret-1'),
    await isProven('secret-999'),
  ]).toEqual([true, false, true, true])
})

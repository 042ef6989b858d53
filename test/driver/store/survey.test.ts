import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { addBlob, addTree, keyOf, lease, ORIGIN } from './eviction/eviction-fixture.ts'
import { openTestStore } from './open-test-store.ts'

const metaOf = async (path: string) => JSON.parse(await readFile(path, 'utf8'))

test('what a process committed and was killed before it was synced is synced and marked by the next one of this boot', async () => {
  await using directory = await temporaryDirectory()
  const killed = await openTestStore(directory.path)
  const key = await addTree(killed, 'tree')
  const digest = await addBlob(killed, 'blob')
  // Ends without a last sync, as a kill does.
  await killed[Symbol.asyncDispose]()
  await using store = await openTestStore(directory.path)
  const records = [directory.file('trees', key, 'meta.json'), `${store.blobs.path(digest)}.json`]
  const durable = async () =>
    Promise.all(records.map(async (path) => (await metaOf(path)).durable as boolean))
  expect(await durable()).toEqual([false, false])
  await store.trees.survey()
  await store.blobs.survey()
  await store.durability.flush()
  expect(await durable()).toEqual([true, true])
})

test('what another boot left unsynced goes, and what it had synced stays', async () => {
  await using directory = await temporaryDirectory()
  const before = await openTestStore(directory.path)
  const synced = await addTree(before, 'synced')
  const syncedBlob = await addBlob(before, 'synced')
  await before.durability.flush()
  await addTree(before, 'unsynced')
  const lostBlob = await addBlob(before, 'unsynced')
  await before[Symbol.asyncDispose]()
  await using store = await openTestStore(directory.path, { bootId: 'boot-2' })
  expect((await store.trees.survey()).map(({ key }) => key)).toEqual([synced])
  expect((await store.blobs.survey()).map(({ digest }) => digest)).toEqual([syncedBlob])
  expect(await store.blobs.has(lostBlob, ORIGIN)).toBe(false)
  expect(await readdir(directory.file('trees'))).toEqual([synced])
})

test('half a blob or tree, as a kill in between leaves it, goes', async () => {
  await using directory = await temporaryDirectory()
  const before = await openTestStore(directory.path)
  const [bytesOnly, recordOnly] = [await addBlob(before, 'bytes'), await addBlob(before, 'record')]
  await rm(`${before.blobs.path(bytesOnly)}.json`)
  await rm(before.blobs.path(recordOnly))
  await mkdir(directory.file('trees', keyOf('no record'), 'root'), { recursive: true })
  await before[Symbol.asyncDispose]()
  await using store = await openTestStore(directory.path)
  expect(await store.blobs.survey()).toEqual([])
  expect(await store.trees.survey()).toEqual([])
  const left = await readdir(directory.file('blobs', 'sha256'), { recursive: true })
  expect(left.filter((name) => name.includes('/'))).toEqual([])
  expect(await readdir(directory.file('trees'))).toEqual([])
})

test('what comes and goes is known without another survey', async () => {
  await using directory = await temporaryDirectory()
  await using store = await openTestStore(directory.path)
  await store.trees.survey()
  const key = await addTree(store, 'tree', 42)
  const digest = await addBlob(store, 'blob', 24)
  expect(store.trees.known.get(key)?.facts.bytes).toBe(42)
  expect(store.blobs.known.get(digest)?.bytes).toBe(24)
  await store.trees.evict(key)
  await store.blobs.evict(digest)
  expect([store.trees.known.size, store.blobs.known.size]).toEqual([0, 0])
})

test('what somebody else removed is forgotten', async () => {
  await using directory = await temporaryDirectory()
  await using store = await openTestStore(directory.path)
  const key = await addTree(store, 'tree')
  const digest = await addBlob(store, 'blob')
  await rm(directory.file('trees', key), { recursive: true })
  await rm(store.blobs.path(digest))
  await rm(`${store.blobs.path(digest)}.json`)
  await store.trees.survey()
  await store.blobs.survey()
  expect([store.trees.known.size, store.blobs.known.size]).toEqual([0, 0])
})

test('leases are known from the moment they are to be written, and after a restart from the first listing', async () => {
  await using directory = await temporaryDirectory()
  const store = await openTestStore(directory.path)
  const writing = store.leases.put(lease('volume', ['tree'], ['view']))
  expect(store.leases.holds('tree')).toBe(true)
  expect(store.isHeld('view')).toBe(true)
  await writing
  await store[Symbol.asyncDispose]()
  await using again = await openTestStore(directory.path)
  await writeFile(directory.file('volumes', 'broken.json'), '{')
  expect(await again.leases.list()).toMatchObject({ leases: [{}], broken: ['broken.json'] })
  expect(again.leases.holds('tree')).toBe(true)
  await again.leases.remove('volume')
  expect(again.leases.holds('tree')).toBe(false)
})

test('a lease that is removed while all are listed does not hold for ever', async () => {
  await using directory = await temporaryDirectory()
  await using store = await openTestStore(directory.path)
  for (let volume = 0; volume < 50; volume += 1) {
    await store.leases.put(lease(`volume-${volume}`, [`tree-${volume}`]))
  }
  await store[Symbol.asyncDispose]()
  await using again = await openTestStore(directory.path)
  const listing = again.leases.list()
  await Promise.all(
    Array.from({ length: 50 }, (_, volume) => again.leases.remove(`volume-${volume}`)),
  )
  await listing
  expect(again.leases.size).toBe(0)
  expect(await readdir(join(directory.path, 'volumes'))).toEqual([])
})

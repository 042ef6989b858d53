import { link, mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../../../common/oci/digest.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'
import { openTestStore } from '../open-test-store.ts'
import { addBlob, addTree, keyOf, lease, ORIGIN, testEvictor, wordOf } from './eviction-fixture.ts'

const ROOM = { key: 'k', subject: 'Cannot pull "ref"', estimated: { bytes: 0, inodes: 0 } }

describe('what the store may have', () => {
  test('is kept to: the least recently used trees go, and what leases, mounts and work hold stays', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    for (const word of ['leased', 'mounted', 'built', 'old', 'new']) {
      await addTree(store, word, 100)
      const longAgo = word === 'new' ? 1_000 : 2_000
      const then = Date.now() / 1_000 - longAgo
      await utimes(directory.file('trees', keyOf(word)), then, then)
    }
    await store.leases.put(lease('volume', [keyOf('leased')]))
    using _ = store.holds.hold([keyOf('built')])
    // Another process's: times are read at the first look.
    await store[Symbol.asyncDispose]()
    await using again = await openTestStore(directory.path)
    using __ = again.holds.hold([keyOf('built')])
    const gone: string[] = []
    await using evictor = testEvictor(
      again,
      { maxBytes: 450 },
      {
        mounted: () => new Set([keyOf('mounted')]),
        onEvicted: ({ key }, reason) => gone.push(`${key} ${reason}`),
      },
    )
    await again.trees.survey()
    await evictor.check()
    expect(gone).toEqual([`${keyOf('old')} max-store-bytes`])
    expect((await again.trees.list()).length).toBe(4)
    expect(evictor.unreachable).toEqual([])
  })

  test('is said to be out of reach when everything is in use', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    await store.leases.put(lease('volume', [await addTree(store, 'leased', 100)]))
    await using evictor = testEvictor(store, { maxBytes: 50 })
    await evictor.check()
    expect(evictor.unreachable).toEqual(['max-store-bytes'])
    expect(await wordOf(store, keyOf('leased'))).toBe('leased')
    await store.leases.remove('volume')
    await evictor.check()
    expect(evictor.unreachable).toEqual([])
    expect(await store.trees.list()).toEqual([])
  })

  test('counts a blob once, and frees it with the last tree that has it as a file', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    const blob = await addBlob(store, 'blob', 1_000)
    for (const word of ['a', 'b']) {
      const staging = await store.makeStaging()
      await mkdir(join(staging, 'root'))
      await link(store.blobs.path(blob), join(staging, 'root', 'file'))
      const facts = { manifest: digestOf(word), origins: [ORIGIN], blobs: [blob] }
      const sizes = { bytes: 1_000, inodes: 1, ownBytes: 0, ownInodes: 0 }
      await store.trees.commit(keyOf(word), staging, { ...facts, ...sizes })
    }
    await store.leases.put(lease('volume', [keyOf('b')]))
    await using evictor = testEvictor(store, { maxBytes: 1_000 })
    await evictor.check()
    // A thousand bytes in all.
    expect((await store.trees.list()).length).toBe(2)

    await using strict = testEvictor(store, { maxBytes: 999 })
    await strict.check()
    // Neither without the other makes room, and one is in use.
    expect((await store.trees.list()).length).toBe(2)
    expect(strict.unreachable).toEqual(['max-store-bytes'])

    await store.leases.remove('volume')
    await strict.check()
    expect(await store.blobs.has(blob, ORIGIN)).toBe(false)
    expect((await store.trees.list()).length).toBe(0)
    await store.trash.emptyNow(() => false)
    expect(await readdir(directory.file('trash'))).toEqual([])
  })
})

describe('room for a pull', () => {
  test('is made of what nothing needs, also of what was used just now when there is nothing else', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    await addTree(store, 'just now', 100)
    await using evictor = testEvictor(store, { maxBytes: 150, minAgeMs: 300_000 })
    await evictor.check()
    expect((await store.trees.list()).length).toBe(1)
    using _ = await evictor.makeRoom({ ...ROOM, certain: { bytes: 100, inodes: 1 } })
    expect(await store.trees.list()).toEqual([])
  })

  test('that the store may not have is refused, saying what is needed, what there is and what holds the rest; nothing is evicted', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    for (const [word, bytes] of [
      ['a', 400],
      ['b', 100],
      ['c', 300],
      ['d', 200],
    ] as const) {
      await store.leases.put(lease(`volume-${word}`, [await addTree(store, word, bytes)]))
    }
    await addTree(store, 'unused', 50)
    await using evictor = testEvictor(store, { maxBytes: 1_100 })
    await expect(
      evictor.makeRoom({ ...ROOM, certain: { bytes: 200, inodes: 1 } }),
    ).rejects.toMatchObject({
      code: 'EXHAUSTED',
      message:
        'Cannot pull "ref": it needs 200 B, and of the 1.1 KiB that the store may have (the limit --max-store-bytes, which an admin can raise) 1000 B are taken and cannot be evicted; 4 pods of this node use 4 artifacts of 1000 B (the largest: 400 B, 300 B, 200 B, ...)',
    })
    expect((await store.trees.list()).length).toBe(5)
  })

  test('the attack: a manifest of 8 PiB does not make the node forget what it has', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    await addTree(store, 'unused', 100)
    await using evictor = testEvictor(store)
    const certain = { bytes: 2 ** 53 - 1, inodes: 1 }
    await expect(evictor.makeRoom({ ...ROOM, certain })).rejects.toMatchObject({
      code: 'EXHAUSTED',
      message: expect.stringMatching(
        /^Cannot pull "ref": it needs 8192\.0 TiB, and the node's file system has \S+ \S+ free, 100 B of unused artifacts that could be evicted, and 0 B that must stay free \(the limit --min-free-bytes, which an admin can raise\); no pod of this node uses an artifact; free something, or give the store a larger file system$/,
      ),
    })
    expect(await wordOf(store, keyOf('unused'))).toBe('unused')
  })

  test('is not promised twice: two pulls at once do not count on the same', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    await using evictor = testEvictor(store, { maxBytes: 150 })
    const certain = { bytes: 100, inodes: 1 }
    const outcomes = await Promise.allSettled([
      evictor.makeRoom({ ...ROOM, certain }),
      evictor.makeRoom({ ...ROOM, certain }),
    ])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') outcome.value[Symbol.dispose]()
    }
    using _ = await evictor.makeRoom({ ...ROOM, certain })
  })

  test('grows with each try that ran out, as far as there is something to evict', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    for (const word of ['a', 'b', 'c']) await addTree(store, word, 100)
    await using evictor = testEvictor(store, { maxBytes: 400 })
    const request = {
      ...ROOM,
      certain: { bytes: 100, inodes: 1 },
      estimated: { bytes: 60, inodes: 1 },
    }
    const left = async () => {
      using _ = await evictor.makeRoom(request)
      return (await store.trees.list()).length
    }
    expect(await left()).toBe(2)
    evictor.ranOut('k')
    expect(await left()).toBe(1)
    evictor.ranOut('k')
    // 340 fit into 400 only alone.
    expect(await left()).toBe(0)
    evictor.ranOut('k')
    expect(await left()).toBe(0)
  })
})

test('a download that was given up goes before any tree; one that runs stays', async () => {
  await using directory = await temporaryDirectory()
  await using store = await openTestStore(directory.path)
  await addTree(store, 'tree', 100)
  const path = (word: string) =>
    join(store.ingestDirectory, `sha256-${keyOf(word)}.0123456789abcdef.part`)
  for (const word of ['given up', 'running']) await writeFile(path(word), 'x'.repeat(5_000))
  using _ = store.holds.hold([`sha256:${keyOf('running')}`])
  await using evictor = testEvictor(store, { maxBytes: 200 })
  using __ = await evictor.makeRoom({ ...ROOM, certain: { bytes: 50, inodes: 1 } })
  expect(await readdir(store.ingestDirectory)).toEqual([path('running').split('/').at(-1)])
  expect((await store.trees.list()).length).toBe(1)
})

test('what has been of no use for long goes whatever room there is', async () => {
  await using directory = await temporaryDirectory()
  await using store = await openTestStore(directory.path)
  const blob = await addBlob(store, 'unpacked')
  await addTree(store, 'tree')
  await using evictor = testEvictor(store)
  await evictor.evictUnused(({ kind }) => kind === 'blob')
  expect(await store.blobs.has(blob, ORIGIN)).toBe(false)
  expect((await store.trees.list()).length).toBe(1)
})

test('the last use of a tree is when its last volume ended, also after a restart', async () => {
  await using directory = await temporaryDirectory()
  const store = await openTestStore(directory.path)
  const key = await addTree(store, 'tree')
  await store.leases.put(lease('volume', [key]))
  const longAgo = Date.now() / 1_000 - 3_600
  await utimes(directory.file('trees', key), longAgo, longAgo)
  const before = Date.now()
  await store.leases.remove('volume')
  expect((await stat(directory.file('trees', key))).mtimeMs).toBeGreaterThanOrEqual(before - 10)
  expect(store.trees.known.get(key)?.usedMs).toBeGreaterThanOrEqual(before)
  await store[Symbol.asyncDispose]()
  await using again = await openTestStore(directory.path)
  const [surveyed] = await again.trees.survey()
  expect(surveyed?.usedMs).toBeGreaterThanOrEqual(before - 10)
})

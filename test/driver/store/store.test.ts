import { chmod, mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../../common/oci/digest.ts'
import type { Lease } from '../../../driver/store/leases.ts'
import type { Store } from '../../../driver/store/store.ts'
import { STORE_FORMAT } from '../../../driver/store/store-format.ts'
import { treeKey } from '../../../driver/store/trees.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { openTestStore } from './open-test-store.ts'

const DIGEST = digestOf('content')
const ORIGIN = 'ghcr.io/acme/app'

async function ingest(store: Store, content: string): Promise<string> {
  const path = join(store.ingestDirectory, `${Math.random()}.part`)
  await writeFile(path, content)
  return path
}

async function makeTree(store: Store, key: string, file = 'file'): Promise<void> {
  const staging = await store.makeStaging()
  await mkdir(join(staging, 'root'))
  await writeFile(join(staging, 'root', file), 'x')
  await store.trees.commit(key, staging, {
    manifest: DIGEST,
    origins: [ORIGIN],
    blobs: [DIGEST],
    bytes: 1,
    inodes: 1,
  })
}

describe('opening', () => {
  test('makes the whole layout, for root alone, and opens it again', async () => {
    await using directory = await temporaryDirectory()
    const path = directory.file('store')
    await using first = await openTestStore(path)
    expect((await readdir(path)).sort()).toEqual(
      [
        ...['access', 'blobs', 'format', 'ingest', 'lock', 'manifests', 'refs'],
        ...['salt', 'staging', 'trash', 'trees', 'views', 'volumes'],
      ].sort(),
    )
    expect(await readFile(join(path, 'format'), 'utf8')).toBe(`${STORE_FORMAT}\n`)
    expect((await stat(path)).mode & 0o777).toBe(0o700)
    const { salt } = first
    await first[Symbol.asyncDispose]()
    await using again = await openTestStore(path)
    expect(again.salt).toBe(salt)
  })

  test('a second process waits for the first, and says so', async () => {
    await using directory = await temporaryDirectory()
    const first = await openTestStore(directory.path)
    const { promise: waits, resolve: onWait } = Promise.withResolvers<void>()
    const second = openTestStore(directory.path, { onWait })
    await waits
    await first[Symbol.asyncDispose]()
    await using _ = await second
  })

  test('waiting ends with the signal', async () => {
    await using directory = await temporaryDirectory()
    await using _ = await openTestStore(directory.path)
    const controller = new AbortController()
    const second = openTestStore(directory.path, {
      signal: controller.signal,
      onWait: () => controller.abort(new Error('stopped')),
    })
    await expect(second).rejects.toThrow()
  })

  test('a directory that others may enter is refused', async () => {
    await using directory = await temporaryDirectory()
    await chmod(directory.path, 0o755)
    await expect(openTestStore(directory.path)).rejects.toMatchObject({
      code: 'INVALID',
      message: `Cannot use "${directory.path}" as the store: its mode is 0755, and 0700 is wanted: trees inside are readable by every uid`,
    })
  })

  test('a store of a later format is left alone, but for leases of volumes that end: ours lies in it', async () => {
    await using directory = await temporaryDirectory()
    await writeFile(directory.file('format'), '2\n')
    await mkdir(directory.file('volumes'))
    await writeFile(directory.file('volumes', 'csi-later.json'), '{"version":2}')
    await using store = await openTestStore(directory.path)
    expect(store.directory).toBe(directory.file('format-1'))
    expect((await readdir(directory.path)).sort()).toEqual([
      'format',
      'format-1',
      'lock',
      'volumes',
    ])
    expect(await readFile(directory.file('format'), 'utf8')).toBe('2\n')
    expect(await readFile(directory.file('format-1', 'format'), 'utf8')).toBe('1\n')
    expect(store.otherLeases.length).toBe(1)
    expect(await store.otherLeases[0]?.list()).toEqual({ leases: [], broken: ['csi-later.json'] })
    await store.otherLeases[0]?.remove('csi-later')
    expect(await readdir(directory.file('volumes'))).toEqual([])
  })

  test('after a rollback and back again: the store is where it was, and knows of what lies in it', async () => {
    await using directory = await temporaryDirectory()
    const first = await openTestStore(directory.path)
    await first[Symbol.asyncDispose]()
    await mkdir(directory.file('format-2', 'volumes'), { recursive: true })
    await using store = await openTestStore(directory.path)
    expect(store.directory).toBe(directory.path)
    expect(await store.otherLeases[0]?.list()).toEqual({ leases: [], broken: [] })
  })

  test('an empty format file, as a power cut leaves it, does not keep the driver from starting', async () => {
    await using directory = await temporaryDirectory()
    await mkdir(directory.file('store'), { mode: 0o700 })
    await writeFile(directory.file('store', 'format'), '')
    await using store = await openTestStore(directory.file('store'))
    expect(store.directory).toBe(directory.file('store'))
  })

  test('what was being built is swept; downloads younger than a day stay', async () => {
    await using directory = await temporaryDirectory()
    const first = await openTestStore(directory.path)
    const staging = await first.makeStaging()
    await writeFile(join(staging, 'half'), 'x')
    await writeFile(directory.file('volumes', '.tmp-0123456789abcdef'), '{"vol')
    const young = await ingest(first, 'young')
    const old = await ingest(first, 'old')
    const longAgo = Date.now() / 1_000 - 25 * 60 * 60
    await utimes(old, longAgo, longAgo)
    await first[Symbol.asyncDispose]()
    await using again = await openTestStore(directory.path)
    await again.trash.empty()
    expect(await readdir(directory.file('staging'))).toEqual([])
    expect(await readdir(directory.file('trash'))).toEqual([])
    expect(await readdir(directory.file('volumes'))).toEqual([])
    expect(await readdir(again.ingestDirectory)).toEqual([
      young.slice(again.ingestDirectory.length + 1),
    ])
  })
})

describe('blobs', () => {
  test('a blob is there for the place it was downloaded from, and for no other', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    await store.blobs.commit(await ingest(store, 'content'), DIGEST, ORIGIN)
    expect(await store.blobs.has(DIGEST, ORIGIN)).toBe(true)
    expect(await store.blobs.has(DIGEST, 'evil.example/acme/app')).toBe(false)
    expect(await readFile(store.blobs.path(DIGEST), 'utf8')).toBe('content')
  })

  test('downloaded again from elsewhere it keeps its inode and gains that place', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    await store.blobs.commit(await ingest(store, 'content'), DIGEST, ORIGIN)
    const { ino } = await stat(store.blobs.path(DIGEST))
    await store.blobs.commit(await ingest(store, 'content'), DIGEST, 'quay.io/acme/app')
    expect((await stat(store.blobs.path(DIGEST))).ino).toBe(ino)
    expect(await store.blobs.has(DIGEST, ORIGIN)).toBe(true)
    expect(await store.blobs.has(DIGEST, 'quay.io/acme/app')).toBe(true)
    expect(await readdir(store.ingestDirectory)).toEqual([])
  })

  test.each([
    ['a script', '#!/bin/sh\n', 0o555],
    ['an ELF program', '\x7fELF\x02', 0o555],
    ['text', 'hello', 0o444],
    ['nothing', '', 0o444],
    ['a lone mark', '#', 0o444],
  ])('%s gets its mode from its first bytes', async (_, content, mode) => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    const digest = digestOf(content)
    await store.blobs.commit(await ingest(store, content), digest, ORIGIN)
    expect((await stat(store.blobs.path(digest))).mode & 0o7777).toBe(mode)
  })

  test('after a power cut a blob counts only when it was synced', async () => {
    await using directory = await temporaryDirectory()
    const synced = digestOf('synced')
    const first = await openTestStore(directory.path)
    await first.blobs.commit(await ingest(first, 'synced'), synced, ORIGIN)
    await first.durability.flush()
    await first.blobs.commit(await ingest(first, 'content'), DIGEST, ORIGIN)
    await first[Symbol.asyncDispose]()
    await using next = await openTestStore(directory.path, { bootId: 'boot-2' })
    expect(await next.blobs.has(synced, ORIGIN)).toBe(true)
    expect(await next.blobs.has(DIGEST, ORIGIN)).toBe(false)
  })

  test('a blob whose record does not parse is not there', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    await store.blobs.commit(await ingest(store, 'content'), DIGEST, ORIGIN)
    await writeFile(`${store.blobs.path(DIGEST)}.json`, '{"origins":')
    expect(await store.blobs.has(DIGEST, ORIGIN)).toBe(false)
  })
})

describe('trees', () => {
  const key = treeKey({ manifest: DIGEST, layers: 'all', unpack: 'auto', modes: 'readable' })

  test('a committed tree is there, complete', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    expect(await store.trees.get(key)).toBeUndefined()
    await makeTree(store, key)
    expect(await store.trees.get(key)).toEqual({
      key,
      root: directory.file('trees', key, 'root'),
      meta: {
        manifest: DIGEST,
        origins: [ORIGIN],
        blobs: [DIGEST],
        bytes: 1,
        inodes: 1,
        bootId: 'boot-1',
        durable: false,
      },
    })
    expect(await store.trees.list()).toEqual([key])
  })

  test('of two builds the first stays, and the second is thrown away', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    await makeTree(store, key, 'first')
    await makeTree(store, key, 'second')
    expect(await readdir(directory.file('trees', key, 'root'))).toEqual(['first'])
    await store.trash.empty()
    expect(await readdir(directory.file('staging'))).toEqual([])
    expect(await readdir(directory.file('trash'))).toEqual([])
  })

  test('a tree that a power cut may have damaged goes to the trash; a synced one stays', async () => {
    await using directory = await temporaryDirectory()
    const synced = treeKey({ manifest: DIGEST, layers: 'all', unpack: 'never', modes: 'readable' })
    const first = await openTestStore(directory.path)
    await makeTree(first, synced)
    await first.durability.flush()
    await makeTree(first, key)
    await first[Symbol.asyncDispose]()
    await using next = await openTestStore(directory.path, { bootId: 'boot-2' })
    expect((await next.trees.get(synced))?.meta.durable).toBe(true)
    expect(await next.trees.get(key)).toBeUndefined()
    expect(await readdir(directory.file('trees'))).toEqual([synced])
  })

  test('a tree whose record does not parse is built again', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    await makeTree(store, key, 'first')
    await writeFile(directory.file('trees', key, 'meta.json'), '')
    expect(await store.trees.get(key)).toBeUndefined()
    await makeTree(store, key, 'second')
    expect(await readdir(directory.file('trees', key, 'root'))).toEqual(['second'])
  })

  test('a tree directory without meta.json is not in the way for ever', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.file('store'))
    const key = 'a'.repeat(64)
    await mkdir(directory.file('store', 'trees', key, 'root'), { recursive: true })
    const staging = await store.makeStaging()
    await mkdir(`${staging}/root`)
    const tree = await store.trees.commit(key, staging, {
      ...{ manifest: 'm', origins: ['o'], blobs: [], bytes: 0, inodes: 0 },
    })
    expect(tree.key).toBe(key)
  })

  test('the key depends on everything that decides the content', () => {
    const base = { manifest: DIGEST, layers: 'all', unpack: 'auto', modes: 'readable' } as const
    const keys = [
      treeKey(base),
      treeKey({ ...base, manifest: digestOf('other') }),
      treeKey({ ...base, layers: [0] }),
      treeKey({ ...base, layers: [0, 1] }),
      treeKey({ ...base, unpack: 'never' }),
      treeKey({ ...base, modes: 'keep' }),
    ]
    expect(new Set(keys).size).toBe(6)
    expect(keys[0]).toMatch(/^[0-9a-f]{64}$/)
  })
})

describe('manifests', () => {
  test('what does not hash to its name is not there', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    await store.manifests.put(DIGEST, Buffer.from('content'))
    expect(Buffer.from((await store.manifests.get(DIGEST)) ?? []).toString()).toBe('content')
    const hex = DIGEST.slice('sha256:'.length)
    await writeFile(directory.file('manifests', 'sha256', hex.slice(0, 2), hex), 'contant')
    expect(await store.manifests.get(DIGEST)).toBeUndefined()
  })
})

describe('leases', () => {
  const lease: Lease = {
    volumeId: `csi-${'ab'.repeat(32)}`,
    target: '/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/app/mount',
    pod: { namespace: 'ns', name: 'pod', uid: 'u' },
    requestHash: 'h',
    sources: [{ reference: 'ghcr.io/acme/app:v1', digest: DIGEST }],
    trees: ['k'],
    views: ['w'],
    mounted: true,
    bootId: 'boot-1',
  }

  test.each([
    ['an id of the kubelet', lease.volumeId],
    ['an id that would leave the directory', '../../etc/passwd'],
    ['an id longer than a file name', 'x'.repeat(400)],
    ['an id with NUL and newline', 'a\0b\nc'],
  ])('%s names one lease, inside the directory', async (_, volumeId) => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    await store.leases.put({ ...lease, volumeId })
    expect(await store.leases.get(volumeId)).toEqual({ state: 'ok', value: { ...lease, volumeId } })
    expect((await readdir(directory.file('volumes'))).length).toBe(1)
    await store.leases.remove(volumeId)
    expect(await store.leases.get(volumeId)).toEqual({ state: 'absent' })
    await store.leases.remove(volumeId)
  })

  test('a lease that does not parse is told from one that is absent', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    await store.leases.put(lease)
    await writeFile(directory.file('volumes', `${lease.volumeId}.json`), '{')
    expect((await store.leases.get(lease.volumeId)).state).toBe('broken')
    expect(await store.leases.list()).toEqual({ leases: [], broken: [`${lease.volumeId}.json`] })
  })

  test('fields that a later version adds do no harm', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    await writeFile(
      directory.file('volumes', `${lease.volumeId}.json`),
      JSON.stringify({ ...lease, upper: ['v'], version: 9 }),
    )
    expect(await store.leases.get(lease.volumeId)).toEqual({ state: 'ok', value: lease })
  })

  test('one of a driver that knew no views has none', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openTestStore(directory.path)
    const { views: _, ...older } = lease
    await writeFile(directory.file('volumes', `${lease.volumeId}.json`), JSON.stringify(older))
    const value = { ...lease, views: [] }
    expect(await store.leases.get(lease.volumeId)).toEqual({ state: 'ok', value })
  })
})

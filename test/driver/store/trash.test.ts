import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { createTreeRemover } from '../../../driver/linux/remove-tree-thread.ts'
import { openStore, type Store } from '../../../driver/store/store.ts'
import { createTrash, type Trash } from '../../../driver/store/trash.ts'
import { createStoreMounts } from '../../../driver/volume/store-mounts.ts'
import { detach, whyNoMounts } from '../../support/mounts.ts'
import { skipUnless } from '../../support/skip-unless.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts'
import { addTree, wordOf } from './eviction/eviction-fixture.ts'
import { silentLog } from './open-test-store.ts'

const why = await whyNoMounts()
const mount = (...args: string[]) => promisify(execFile)('mount', args)

/** A store that looks at the mounts of this machine, as the driver's does. */
async function openRealStore(directory: TemporaryDirectory): Promise<Store & AsyncDisposable> {
  const remover = createTreeRemover()
  const mounts = createStoreMounts(directory.file('store'))
  const store = await openStore({
    ...{ directory: directory.file('store'), bootId: 'boot-1', log: silentLog() },
    signal: new AbortController().signal,
    isMounted: async (path) => mounts.show(path),
    removeTree: remover.remove,
  })
  return {
    ...store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]()
      await remover[Symbol.asyncDispose]()
    },
  }
}

describe('a tree that a mount shows without any lease', () => {
  test('as a bind mount is put back when it is to be evicted: mountinfo is looked at after the move', async (context) => {
    skipUnless(context, why)
    await using directory = await temporaryDirectory()
    await using store = await openRealStore(directory)
    const key = await addTree(store, 'bound')
    await mkdir(directory.file('target'))
    await mount('--bind', directory.file('store', 'trees', key, 'root'), directory.file('target'))
    try {
      expect(await store.trees.evict(key)).toBe(false)
      await store.trash.emptyNow(() => false)
      expect(await readFile(directory.file('target', 'file'), 'utf8')).toMatch(/^bound/)
      expect(await wordOf(store, key)).toBe('bound')
    } finally {
      await detach(directory.file('target'))
    }
    expect(await store.trees.evict(key)).toBe(true)
  })

  test('as the lower directory of an overlay, and damaged, stays in the trash until that ends, for the next driver too', async (context) => {
    skipUnless(context, why)
    await using directory = await temporaryDirectory()
    let key = ''
    const mounted = async () => {
      for (const name of ['target', 'upper', 'work']) await mkdir(directory.file(name))
      const options = [
        `lowerdir=${directory.file('store', 'trees', key, 'root')}`,
        `upperdir=${directory.file('upper')}`,
        `workdir=${directory.file('work')}`,
      ].join(',')
      await mount('-t', 'overlay', 'overlay', '-o', options, directory.file('target'))
    }
    const trashed = () => readdir(directory.file('store', 'trash'))
    {
      await using store = await openRealStore(directory)
      key = await addTree(store, 'lower')
      const bound = await addTree(store, 'bound')
      await mounted()
      expect(await store.trees.quarantine(key)).toBe(true)
      expect(await store.trees.quarantine(bound)).toBe(true)
      await store.trash.emptyNow(() => false)
      expect(await trashed()).toEqual([expect.stringMatching(`^[0-9a-f]{24}.trees.${key}$`)])
    }
    {
      await using store = await openRealStore(directory)
      await store.trash.emptyNow(() => false)
      expect(await readFile(directory.file('target', 'file'), 'utf8')).toMatch(/^lower/)
      await detach(directory.file('target'))
      await store.trash.emptyNow(() => false)
      expect(await trashed()).toEqual([])
    }
  })

  test('as the lower directory of an overlay, too, which is listed with the path it had', async (context) => {
    skipUnless(context, why)
    await using directory = await temporaryDirectory()
    await using store = await openRealStore(directory)
    const key = await addTree(store, 'lower')
    for (const name of ['target', 'upper', 'work']) await mkdir(directory.file(name))
    const options = [
      `lowerdir=${directory.file('store', 'trees', key, 'root')}`,
      `upperdir=${directory.file('upper')}`,
      `workdir=${directory.file('work')}`,
    ].join(',')
    await mount('-t', 'overlay', 'overlay', '-o', options, directory.file('target'))
    try {
      expect(await store.trees.evict(key)).toBe(false)
      await store.trash.emptyNow(() => false)
      expect(await readFile(directory.file('target', 'file'), 'utf8')).toMatch(/^lower/)
    } finally {
      await detach(directory.file('target'))
    }
    expect(await store.trees.evict(key)).toBe(true)
  })

  test('and is in the trash already is deleted when the mount is gone, and not before', async (context) => {
    skipUnless(context, why)
    await using directory = await temporaryDirectory()
    await using store = await openRealStore(directory)
    await mkdir(directory.file('store', 'staging', 'old', 'root'), { recursive: true })
    await writeFile(directory.file('store', 'staging', 'old', 'root', 'file'), 'shown')
    await mkdir(directory.file('target'))
    await mount(
      '--bind',
      directory.file('store', 'staging', 'old', 'root'),
      directory.file('target'),
    )
    try {
      await store.trash.take(directory.file('store', 'staging', 'old'))
      await store.trash.empty()
      await store.trash.emptyNow(() => false)
      expect(await readFile(directory.file('target', 'file'), 'utf8')).toBe('shown')
    } finally {
      await detach(directory.file('target'))
    }
    await store.trash.empty()
    expect(await readdir(directory.file('store', 'trash'))).toEqual([])
  })
})

describe('what is needed after all', () => {
  test('is put back, though it was not needed when it was asked for first', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openRealStore(directory)
    const key = await addTree(store, 'tree')
    let asked = 0
    const isGone = await store.trash.takeUnless(directory.file('store', 'trees', key), () => {
      asked += 1
      return asked === 2
    })
    expect(isGone).toBe(false)
    expect(await wordOf(store, key)).toBe('tree')
  })

  test('is not missed by who looks for it meanwhile', async () => {
    await using directory = await temporaryDirectory()
    const { promise: asked, resolve: ask } = Promise.withResolvers<void>()
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>()
    await using store = await openStore({
      ...{ directory: directory.file('store'), bootId: 'boot-1', log: silentLog() },
      signal: new AbortController().signal,
      async isMounted() {
        ask()
        await answered
        return true
      },
      removeTree: async () => {},
    })
    const key = await addTree(store, 'tree')
    const evicting = store.trees.evict(key)
    await asked
    expect(await readdir(directory.file('store', 'trees'))).toEqual([])
    const found = wordOf(store, key)
    // Had it not waited, it would have found nothing by now.
    await readdir(directory.file('store', 'trees'))
    answer()
    expect(await evicting).toBe(false)
    expect(await found).toBe('tree')
  })

  test('is never deleted while that is being found out', async () => {
    await using directory = await temporaryDirectory()
    const isMounted = async (path: string) => {
      // Somebody empties the trash just now.
      if (!path.includes('/trash/')) await trash.emptyNow(() => false)
      return !path.includes('/trash/')
    }
    await using trash = plainTrash(directory, isMounted, (parent, name) =>
      rm(`${parent}/${name}`, { recursive: true }),
    )
    await mkdir(directory.file('tree'))
    await writeFile(directory.file('tree', 'file'), 'content')
    expect(await trash.takeUnless(directory.file('tree'), () => false)).toBe(false)
    expect(await readFile(directory.file('tree', 'file'), 'utf8')).toBe('content')
  })
})

describe('room', () => {
  test('is made by what was taken last, while something endless is being deleted in the background', async () => {
    await using directory = await temporaryDirectory()
    const { promise: endless, resolve: end } = Promise.withResolvers<void>()
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    const removed: string[] = []
    await using trash = createTrash({
      directory: directory.file('trash'),
      log: silentLog(),
      isMounted: async () => false,
      async removeTree(parent, name) {
        const [content] = await readdir(`${parent}/${name}`)
        if (content === 'endless') {
          begin()
          await endless
        }
        removed.push(content ?? '')
      },
    })
    const take = async (name: string) => {
      await mkdir(directory.file(name, name), { recursive: true })
      await trash.take(directory.file(name))
    }
    await take('endless')
    await begun
    for (const name of ['first', 'second', 'third']) await take(name)
    await trash.emptyNow(() => removed.length === 2)
    expect(removed).toEqual(['third', 'second'])
    end()
  })

  test('known to be in the trash is what trees have alone', async () => {
    await using directory = await temporaryDirectory()
    await mkdir(directory.file('tree'))
    const meta = { bytes: 500, inodes: 7, ownBytes: 20, ownInodes: 3 }
    await writeFile(directory.file('tree', 'meta.json'), JSON.stringify(meta))
    await writeFile(directory.file('blob'), 'x'.repeat(100))
    await mkdir(directory.file('trash', 'of-an-earlier-process'), { recursive: true })
    await writeFile(directory.file('trash', 'of-an-earlier-process', 'file'), 'x')
    await using quiet = plainTrash(
      directory,
      async () => false,
      async () => {
        throw new Error('not today')
      },
    )
    await quiet.take(directory.file('tree'))
    await quiet.take(directory.file('blob'))
    await quiet.empty()
    expect(await quiet.usage()).toEqual({ bytes: 120, inodes: 5 })
    expect((await readdir(directory.file('trash'))).length).toBe(3)
  })
})

function plainTrash(
  directory: TemporaryDirectory,
  isMounted: (path: string) => Promise<boolean>,
  removeTree: (parent: string, name: string) => Promise<void> = async () => {},
): Trash {
  const trash = directory.file('trash')
  return createTrash({ directory: trash, log: silentLog(), isMounted, removeTree })
}

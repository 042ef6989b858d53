import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { Store } from '../../../driver/store/store.ts'
import { type ViewPart, viewKey } from '../../../driver/store/views.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { openTestStore } from './open-test-store.ts'

const A = 'a'.repeat(64)
const B = 'b'.repeat(64)
const KEY = viewKey([{ tree: A }, { tree: B }])

test('a committed view is there with its record, and of two builds the first stays', async () => {
  await using directory = await temporaryDirectory()
  await using store = await openTestStore(directory.path)
  expect(await store.views.get(KEY)).toBeUndefined()
  const first = await makeView(store, 'first')
  const second = await makeView(store, 'second')
  expect([first.isOurs, second.isOurs]).toEqual([true, false])
  expect(second.committed).toEqual({
    key: KEY,
    root: directory.file('views', KEY, 'root'),
    meta: { trees: [A, B], bytes: 3, inodes: 2, bootId: 'boot-1', durable: false },
  })
  expect(await readdir(directory.file('views', KEY, 'root'))).toEqual(['first'])
  expect(await store.views.list()).toEqual([KEY])
  await store.trash.empty()
  expect(await readdir(directory.file('staging'))).toEqual([])
})

test('after a power cut a view counts only when it was synced', async () => {
  await using directory = await temporaryDirectory()
  const first = await openTestStore(directory.path)
  await makeView(first, 'first')
  await first[Symbol.asyncDispose]()
  const second = await openTestStore(directory.path, { bootId: 'boot-2' })
  expect(await second.views.get(KEY)).toBeUndefined()
  await makeView(second, 'second')
  await second.durability.flush()
  await second[Symbol.asyncDispose]()
  await using third = await openTestStore(directory.path, { bootId: 'boot-3' })
  expect((await third.views.get(KEY))?.meta.durable).toBe(true)
})

test('a view whose record does not parse is built again', async () => {
  await using directory = await temporaryDirectory()
  await using store = await openTestStore(directory.path)
  await makeView(store, 'first')
  await writeFile(directory.file('views', KEY, 'meta.json'), '{"trees":[')
  expect(await store.views.get(KEY)).toBeUndefined()
  await makeView(store, 'second')
  expect(await readdir(directory.file('views', KEY, 'root'))).toEqual(['second'])
})

test('the key depends on trees, their order, paths and globs, and on nothing else', () => {
  const different: readonly (readonly ViewPart[])[] = [
    [{ tree: A }],
    [{ tree: A }, { tree: B }],
    [{ tree: B }, { tree: A }],
    [{ tree: A, path: 'lib' }],
    [{ tree: A, path: 'lib' }, { tree: B }],
    [{ tree: A }, { tree: B, path: 'lib' }],
    [{ tree: A, files: ['lib'] }],
    [{ tree: A, files: ['lib', '!*.md'] }],
    [{ tree: A, files: ['!*.md', 'lib'] }],
  ]
  expect(new Set(different.map(viewKey)).size).toBe(different.length)
  expect(viewKey([{ tree: A, files: ['lib', '!*.md', 'lib'] }])).toBe(
    viewKey([{ tree: A, files: ['!*.md', 'lib'] }]),
  )
})

async function makeView(store: Store, name: string) {
  const staging = await store.makeStaging()
  await mkdir(`${staging}/root/${name}`, { recursive: true })
  return store.views.commit(KEY, staging, { trees: [A, B], bytes: 3, inodes: 2 })
}

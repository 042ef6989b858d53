import {
  linkSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { expect, test } from 'vitest'
import {
  close,
  makeDirectoryAt,
  openDirectory,
  openDirectoryAt,
} from '../../../driver/linux/directory.ts'
import { measureTree } from '../../../driver/linux/measure-tree.ts'
import { measureTrees, type TreeMeasured } from '../../../driver/linux/measure-tree-thread.ts'
import { removeTreeInSlices } from '../../../driver/linux/remove-tree.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const onDisk = (...paths: readonly string[]) =>
  paths.reduce((sum, path) => sum + statSync(path).blocks * 512, 0)

test('counts what is on the disk: holes not, a file with several names once, links as themselves', async () => {
  await using temporary = await temporaryDirectory()
  const file = (...names: string[]) => temporary.file('tree', ...names)
  mkdirSync(file('d/e'), { recursive: true })
  writeFileSync(file('d/data'), Buffer.alloc(100_000, 'x'))
  writeFileSync(file('holes'), '')
  truncateSync(file('holes'), 1024 ** 3)
  linkSync(file('d/data'), file('d/e/other-name'))
  writeFileSync(temporary.file('outside'), Buffer.alloc(1_000_000, 'x'))
  symlinkSync(temporary.file('outside'), file('link'))
  expect(measureTree(temporary.file('tree'))).toEqual({
    bytes: onDisk(file('d'), file('d/e'), file('d/data'), file('holes')),
    inodes: 5,
    complete: true,
  })
})

test('the attack: directories deeper than any path are counted, with two descriptors', async () => {
  await using temporary = await temporaryDirectory()
  mkdirSync(temporary.file('tree'))
  nest(temporary.file('tree'), 'd'.repeat(100), 300)
  const before = readdirSync('/proc/self/fd').length
  const use = measureTree(temporary.file('tree'))
  expect(readdirSync('/proc/self/fd').length).toBe(before)
  await removeTreeInSlices(temporary.path, 'tree')
  expect(use).toMatchObject({ inodes: 300, complete: true })
})

test('the attack: deeper than that is cut, and said to be', async () => {
  await using temporary = await temporaryDirectory()
  mkdirSync(temporary.file('tree'))
  nest(temporary.file('tree'), 'd'.repeat(250), 1_100)
  const use = measureTree(temporary.file('tree'))
  await removeTreeInSlices(temporary.path, 'tree')
  // 256 KiB of names and slashes.
  expect(use).toMatchObject({ inodes: 1_045, complete: false })
})

test('on the thread: each directory by its path, one that is gone without a size, and no path is a link', async () => {
  await using temporary = await temporaryDirectory()
  mkdirSync(temporary.file('a/b'), { recursive: true })
  symlinkSync('a', temporary.file('link'))
  const seen: TreeMeasured[] = []
  const paths = ['a', 'gone', 'link'].map((name) => temporary.file(name))
  await measureTrees(paths, (measured) => seen.push(measured), new AbortController().signal)
  expect(seen).toEqual([
    {
      path: temporary.file('a'),
      use: { bytes: onDisk(temporary.file('a/b')), inodes: 1, complete: true },
    },
    { path: temporary.file('gone') },
    { path: temporary.file('link'), fault: expect.stringMatching(/^ENOTDIR: /) },
  ])
})

test('stops when its signal fires', async () => {
  await using temporary = await temporaryDirectory()
  const stopping = new AbortController()
  const measuring = measureTrees([temporary.path], () => undefined, stopping.signal)
  stopping.abort(new Error('stop'))
  await expect(measuring).rejects.toThrow('stop')
})

function nest(root: string, name: string, depth: number): void {
  let directory = openDirectory(root)
  for (let level = 0; level < depth; level += 1) {
    makeDirectoryAt(directory, name, 0o700)
    const next = openDirectoryAt(directory, name)
    close(directory)
    directory = next
  }
  close(directory)
}

import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { createTreeRemover } from '../../../driver/linux/remove-tree-thread.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

test('removes a tree, and not what its links point to', async () => {
  await using directory = await temporaryDirectory()
  await using remover = createTreeRemover()
  await mkdir(directory.file('trash', 'a', 'b', 'c'), { recursive: true })
  await mkdir(directory.file('precious'))
  await writeFile(directory.file('precious', 'file'), '')
  await writeFile(directory.file('trash', 'a', 'b', 'file'), '')
  await symlink(directory.file('precious'), directory.file('trash', 'a', 'link'))
  await remover.remove(directory.file('trash'), 'a')
  expect(await readdir(directory.path, { recursive: true })).toEqual([
    'precious',
    'trash',
    'precious/file',
  ])
})

test('stops when it is told to, and another call removes the rest', async () => {
  await using directory = await temporaryDirectory()
  await using remover = createTreeRemover()
  await mkdir(directory.file('trash', 'a'), { recursive: true })
  const names = Array.from({ length: 3_000 }, (_, number) => String(number))
  await Promise.all(names.map((name) => writeFile(directory.file('trash', 'a', name), '')))
  const controller = new AbortController()
  const removing = remover.remove(directory.file('trash'), 'a', controller.signal)
  controller.abort(new Error('the driver is stopping'))
  await expect(removing).rejects.toThrow('the driver is stopping')
  expect((await readdir(directory.file('trash', 'a'))).length).toBeGreaterThan(0)
  await remover.remove(directory.file('trash'), 'a')
  expect(await readdir(directory.file('trash'))).toEqual([])
})

test('a directory that is not there is an error of the caller', async () => {
  await using directory = await temporaryDirectory()
  await using remover = createTreeRemover()
  await expect(remover.remove(directory.file('none'), 'a')).rejects.toThrow('ENOENT')
})

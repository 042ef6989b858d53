import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { expect, test } from 'vitest'
import {
  close,
  createFileAt,
  makeDirectoryAt,
  openDirectory,
  openDirectoryAt,
  symlinkAt,
} from '../../../driver/linux/directory.ts'
import { removeTree, removeTreeInSlices } from '../../../driver/linux/remove-tree.ts'
import { whyNoMounts } from '../../support/mounts.ts'
import { skipUnless } from '../../support/skip-unless.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

/** Makes directories in each other, with a file in every hundredth. */
function nest(path: string, depth: number): void {
  let fd = openDirectory(path)
  for (let i = 0; i < depth; i++) {
    makeDirectoryAt(fd, 'nested', 0o700)
    const next = openDirectoryAt(fd, 'nested')
    if (i % 100 === 0) close(createFileAt(fd, 'file', 0o600))
    close(fd)
    fd = next
  }
  close(fd)
}

test('a tree deeper than any path is removed', async () => {
  await using temporary = await temporaryDirectory()
  mkdirSync(temporary.file('tree'))
  nest(temporary.file('tree'), 3000)
  await removeTreeInSlices(temporary.path, 'tree')
  expect(readdirSync(temporary.path)).toEqual([])
})

test('a tree with thousands of entries is removed, its names being whatever they are', async () => {
  await using temporary = await temporaryDirectory()
  mkdirSync(temporary.file('tree/.removing-0/.removing-1'), { recursive: true })
  mkdirSync(temporary.file('tree/a/b/c/d'), { recursive: true })
  mkdirSync(temporary.file('tree/a/b/.removing-0/.removing-0'), { recursive: true })
  const fd = openDirectory(temporary.file('tree'))
  for (let i = 0; i < 2000; i++) close(createFileAt(fd, Buffer.from(`\xff${i}`, 'latin1'), 0o600))
  close(fd)
  await removeTreeInSlices(temporary.path, 'tree')
  expect(readdirSync(temporary.path)).toEqual([])
})

test('links are removed, not what they point to', async () => {
  await using temporary = await temporaryDirectory()
  mkdirSync(temporary.file('outside'))
  writeFileSync(temporary.file('outside/kept'), 'kept')
  mkdirSync(temporary.file('tree/d'), { recursive: true })
  const fd = openDirectory(temporary.file('tree'))
  symlinkAt('../outside', fd, 'link')
  symlinkSync(temporary.file('outside'), temporary.file('tree/d/link'))
  symlinkSync(temporary.file('outside'), temporary.file('link'))
  close(fd)
  await removeTreeInSlices(temporary.path, 'tree')
  await removeTreeInSlices(temporary.path, 'link')
  expect(readdirSync(temporary.path)).toEqual(['outside'])
  expect(readFileSync(temporary.file('outside/kept'), 'utf8')).toBe('kept')
})

test('a directory that is itself a link is not entered', async () => {
  await using temporary = await temporaryDirectory()
  mkdirSync(temporary.file('outside/d'), { recursive: true })
  symlinkSync('outside', temporary.file('link'))
  await expect(removeTreeInSlices(temporary.file('link'), 'd')).rejects.toMatchObject({
    code: 'ENOTDIR',
  })
  expect(existsSync(temporary.file('outside/d'))).toBe(true)
})

test('a file, and what is not there, are removed too', async () => {
  await using temporary = await temporaryDirectory()
  writeFileSync(temporary.file('f'), '')
  await removeTreeInSlices(temporary.path, 'f')
  await removeTreeInSlices(temporary.path, 'f')
  expect(readdirSync(temporary.path)).toEqual([])
})

test('says what it is about to remove', async () => {
  await using temporary = await temporaryDirectory()
  mkdirSync(temporary.file('tree/d/e'), { recursive: true })
  writeFileSync(temporary.file('tree/d/f'), '')
  const fd = openDirectory(temporary.path)
  const seen: string[] = []
  removeTree(fd, 'tree', (_, name, isDirectory) => {
    if (!Buffer.from(name).toString().startsWith('.removing')) seen.push(`${name} ${isDirectory}`)
    else seen.push(`moved ${isDirectory}`)
  })
  close(fd)
  expect(
    seen
      .map((line) =>
        line.replace(/^[\d,]+/, (bytes) => Buffer.from(bytes.split(',').map(Number)).toString()),
      )
      .sort(),
  ).toEqual(['d true', 'f false', 'moved true', 'tree true'])
})

test('stops when its signal fires, and goes on when called again', async () => {
  await using temporary = await temporaryDirectory()
  mkdirSync(temporary.file('tree'))
  nest(temporary.file('tree'), 1000)
  const stopped = removeTreeInSlices(temporary.path, 'tree', AbortSignal.abort(new Error('stop')))
  await expect(stopped).rejects.toThrow('stop')
  expect(existsSync(temporary.file('tree'))).toBe(true)
  await removeTreeInSlices(temporary.path, 'tree')
  expect(existsSync(temporary.file('tree'))).toBe(false)
})

test('another file system in the tree is left alone', async (context) => {
  skipUnless(context, await whyNoMounts())
  await using temporary = await temporaryDirectory()
  mkdirSync(temporary.file('tree/mount'), { recursive: true })
  const mount = temporary.file('tree/mount')
  expect(spawnSync('mount', ['-t', 'tmpfs', 'none', mount]).status).toBe(0)
  try {
    writeFileSync(`${mount}/kept`, 'kept')
    await expect(removeTreeInSlices(temporary.path, 'tree')).rejects.toMatchObject({
      code: 'EXDEV',
    })
    expect(readFileSync(`${mount}/kept`, 'utf8')).toBe('kept')
  } finally {
    spawnSync('umount', [mount])
  }
})

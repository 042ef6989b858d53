import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import {
  mountsAt,
  openSecondNamespace,
  parseMounts,
  shareMount,
  whyNoMounts,
} from '../support/mounts.ts'
import { skipUnless, whyNoProgram } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

test('mountinfo is read with its optional fields and octal escapes', () => {
  const text =
    '36 35 98:0 /mnt1 /mnt\\0402/gr\\303\\274n/ü rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue\n' +
    '37 35 0:5 / /x ro - tmpfs tmp\\134fs rw\n'
  expect(parseMounts(text)).toEqual([
    {
      id: 36,
      parentId: 35,
      device: '98:0',
      root: '/mnt1',
      mountPoint: '/mnt 2/grün/ü',
      options: ['rw', 'noatime'],
      propagation: ['shared:1', 'master:2'],
      type: 'ext3',
      source: '/dev/root',
      superOptions: ['rw', 'errors=continue'],
    },
    {
      id: 37,
      parentId: 35,
      device: '0:5',
      root: '/',
      mountPoint: '/x',
      options: ['ro'],
      propagation: [],
      type: 'tmpfs',
      source: 'tmp\\fs',
      superOptions: ['rw'],
    },
  ])
})

test('a second namespace sees what is mounted in a shared mount later, and nothing private', async (context) => {
  skipUnless(context, await whyNoMounts())
  await using directory = await temporaryDirectory()
  const host = directory.file('host')
  await mkdir(host)
  await using _ = await shareMount(host)
  await using second = await openSecondNamespace()
  const target = `${host}/a target`
  await mkdir(target)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'probe', target])
  expect(await mountsAt(target)).toMatchObject([{ source: 'probe', type: 'tmpfs' }])
  expect(await mountsAt(target, second.pid)).toMatchObject([{ options: ['ro', 'relatime'] }])
  await expect(second.run('touch', `${target}/file`)).rejects.toThrow('Read-only file system')
  await second.run('mount', '-t', 'tmpfs', 'inner', '/mnt')
  expect(await mountsAt('/mnt', second.pid)).toHaveLength(1)
  execFileSync('umount', [target])
  expect(await mountsAt(target, second.pid)).toEqual([])
})

test('a temporary directory goes, with what is in it', async () => {
  let path: string
  {
    await using directory = await temporaryDirectory()
    path = directory.path
    expect(path.length).toBeLessThan(20)
    await mkdir(directory.file('a', 'b'), { recursive: true })
    await writeFile(directory.file('a', 'b', 'c'), '')
  }
  expect(existsSync(path)).toBe(false)
})

test('a temporary directory unmounts what was left mounted, spares its content, and says so', async (context) => {
  skipUnless(context, await whyNoMounts())
  await using other = await temporaryDirectory()
  await writeFile(other.file('precious'), '')
  const directory = await temporaryDirectory()
  await mkdir(directory.file('left'))
  execFileSync('mount', ['--bind', other.path, directory.file('left')])
  execFileSync('mount', ['-t', 'tmpfs', 'above', directory.file('left')])
  await expect(directory[Symbol.asyncDispose]()).rejects.toThrow(
    'Left mounted beneath a temporary directory: left, left',
  )
  expect(existsSync(directory.path)).toBe(false)
  expect(existsSync(other.file('precious'))).toBe(true)
})

test('programs that are missing are named', async () => {
  expect(await whyNoProgram('sh', 'cat')).toBeUndefined()
  expect(await whyNoProgram('sh', 'no-such-program')).toBe('not installed: no-such-program')
})

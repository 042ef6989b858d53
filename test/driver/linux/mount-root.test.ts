import { mkdir, symlink } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { attachReadOnlyClone, bindMount, unmount } from '../../../driver/linux/mount.ts'
import { lookAt, mountFlags } from '../../../driver/linux/mount-root.ts'
import { whyNoMounts } from '../../support/mounts.ts'
import { skipUnless } from '../../support/skip-unless.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const why = await whyNoMounts()

test('a directory is told from the mount on it, and a mount of the same file system from what it shows', async (context) => {
  skipUnless(context, why)
  await using directory = await temporaryDirectory()
  const [source, target] = [directory.file('source'), directory.file('target')]
  await mkdir(source)
  await mkdir(target)
  expect(lookAt(target)).toMatchObject({ isMountRoot: false })
  const [shown, covered] = [lookAt(source)?.identity, lookAt(target)?.identity]
  expect(shown).not.toBe(covered)

  attachReadOnlyClone(source, target)
  try {
    expect(lookAt(target)).toEqual({ isMountRoot: true, identity: shown })
    expect(lookAt(source)).toEqual({ isMountRoot: false, identity: shown })
    expect(mountFlags(target)).toEqual(['ro', 'nosuid', 'nodev'])
    expect(mountFlags(source)).not.toContain('ro')
  } finally {
    unmount(target)
  }
  expect(lookAt(target)).toEqual({ isMountRoot: false, identity: covered })
})

test('a symbolic link to a mount is no mount, and a path below one neither', async (context) => {
  skipUnless(context, why)
  await using directory = await temporaryDirectory()
  const [source, target, link] = ['source', 'target', 'link'].map((name) => directory.file(name))
  if (source === undefined || target === undefined || link === undefined) throw new Error('names')
  await mkdir(`${source}/below`, { recursive: true })
  await mkdir(target)
  await symlink(target, link)
  bindMount(source, target)
  try {
    expect(lookAt(target)?.isMountRoot).toBe(true)
    expect(lookAt(link)?.isMountRoot).toBe(false)
    expect(lookAt(`${target}/below`)?.isMountRoot).toBe(false)
  } finally {
    unmount(target)
  }
})

test('where nothing is, nothing is found', () => {
  expect(lookAt('/no/such/path')).toBe(undefined)
  expect(lookAt('/proc/version/below')).toBe(undefined)
})

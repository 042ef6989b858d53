import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { readFreeSpace } from '../../../../driver/linux/free-space.ts'
import { watchSpace } from '../../../../driver/pull/tree/space-watch.ts'
import { detach, whyNoMounts } from '../../../support/mounts.ts'
import { skipUnless } from '../../../support/skip-unless.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'
import { thrownBy } from '../../../support/thrown.ts'

const why = await whyNoMounts()
const MIB = 1024 ** 2
const LIMITS = { minFreeBytes: 10 * MIB, minFreeInodes: 100 }

/** A file system that has as much free as its fields say. */
function fileSystem(free: { bytes: number; inodes: number }) {
  const looks: string[] = []
  const space = watchSpace('/store', LIMITS, (directory) => {
    looks.push(directory)
    return { ...free, totalBytes: 1000 * MIB, totalInodes: 100_000 }
  })
  return { space, free, looks }
}

describe('watchSpace', () => {
  test('refuses what would leave less than must stay free', () => {
    const { space } = fileSystem({ bytes: 30 * MIB, inodes: 1000 })
    space.expect(20 * MIB)
    expect(thrownBy(() => space.expect(20 * MIB + 1))).toBe(
      "EXHAUSTED The node's file system has 30.0 MiB free, too little for 20.0 MiB more: 10.0 MiB must stay free (the limit --min-free-bytes, which an admin can raise)",
    )
  })

  test('looks again after 16 MiB, and after 1000 entries', () => {
    const { space, free, looks } = fileSystem({ bytes: 30 * MIB, inodes: 2000 })
    space.expect(0)
    space.take(16 * MIB, 1000)
    expect(looks.length).toBe(1)
    space.take(1, 0)
    expect(looks).toEqual(['/store', '/store'])
    free.inodes = 99
    for (let i = 0; i < 1000; i++) space.take(0, 1)
    expect(thrownBy(() => space.take(0, 1))).toBe(
      "EXHAUSTED The node's file system has 99 inodes free, and 100 must stay free (the limit --min-free-inodes, which an admin can raise)",
    )
  })

  test('looks before what was free may be used up', () => {
    const { space, free, looks } = fileSystem({ bytes: 12 * MIB, inodes: 150 })
    space.expect(0)
    space.take(2 * MIB, 50)
    expect(looks.length).toBe(1)
    free.bytes = 10 * MIB
    expect(thrownBy(() => space.take(1, 0))).toBe(
      "EXHAUSTED The node's file system has 10.0 MiB free, too little for 1 B more: 10.0 MiB must stay free (the limit --min-free-bytes, which an admin can raise)",
    )
    free.bytes = 30 * MIB
    space.take(1, 0)
    for (let i = 0; i < 50; i++) space.take(0, 1)
    free.inodes = 99
    expect(thrownBy(() => space.take(0, 1))).toMatch(/^EXHAUSTED .* 99 inodes free/)
  })

  test('keeps a twentieth of a small file system at most, and no inodes where they have no number', () => {
    const small = watchSpace('/', LIMITS, () => ({
      bytes: 5,
      totalBytes: 100,
      inodes: Number.POSITIVE_INFINITY,
      totalInodes: Number.POSITIVE_INFINITY,
    }))
    small.expect(0)
    expect(thrownBy(() => small.expect(1))).toBe(
      "EXHAUSTED The node's file system has 5 B free, too little for 1 B more: 5 B must stay free (the limit --min-free-bytes, which an admin can raise)",
    )
  })
})

test('readFreeSpace sees what is written to a file system', async (context) => {
  skipUnless(context, why)
  await using directory = await temporaryDirectory()
  const mountPoint = directory.file('small')
  mkdirSync(mountPoint)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m,nr_inodes=50', 'none', mountPoint])
  try {
    const before = readFreeSpace(mountPoint)
    writeFileSync(`${mountPoint}/f`, Buffer.alloc(MIB))
    expect(before).toMatchObject({ totalBytes: 8 * MIB, totalInodes: 50 })
    expect(readFreeSpace(mountPoint)).toEqual({
      ...before,
      bytes: before.bytes - MIB,
      inodes: before.inodes - 1,
    })
  } finally {
    await detach(mountPoint)
  }
})

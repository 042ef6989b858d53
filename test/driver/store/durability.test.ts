import { expect, test } from 'vitest'
import { createDurability } from '../../../driver/store/durability.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { silentLog } from './open-test-store.ts'

test('marks of a flush that failed are made by the next one', async () => {
  await using directory = await temporaryDirectory()
  using durability = createDurability({
    directory: directory.path,
    log: silentLog(),
    delayMs: 1_000_000,
  })
  const marked: string[] = []
  let full = true
  durability.add(async () => {
    if (full) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
    marked.push('a')
  })
  durability.add(async () => void marked.push('b'))
  await durability.flush()
  full = false
  durability.add(async () => void marked.push('c'))
  await durability.flush()
  expect(marked.sort()).toEqual(['a', 'b', 'c'])
})

test('what a sync may have lost is never marked: the kernel says so once, and the next sync finds nothing to write', async () => {
  await using directory = await temporaryDirectory()
  let failing = true
  using durability = createDurability({
    ...{ directory: directory.path, log: silentLog(), delayMs: 1_000_000 },
    sync: async () => {
      if (failing) throw new Error('syncfs failed')
    },
  })
  const marked: string[] = []
  durability.add(async () => void marked.push('lost'))
  await durability.flush()
  failing = false
  durability.add(async () => void marked.push('written'))
  await durability.flush()
  expect(marked).toEqual(['written'])
})

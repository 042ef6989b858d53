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

import { truncate, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { FreeSpace } from '../../../../driver/linux/free-space.ts'
import { setBytes } from '../../../../driver/pull/download/byte-counter.ts'
import { createDownloadSpace } from '../../../../driver/pull/download/download-space.ts'
import { createRunningDownload } from '../../../../driver/pull/download/running-download.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'

const GIBIBYTE = 1024 ** 3
const LIMITS = { minFreeBytes: GIBIBYTE, minFreeInodes: 100 }
const DISK: FreeSpace = {
  bytes: 11 * GIBIBYTE,
  totalBytes: 100 * GIBIBYTE,
  inodes: 1_000,
  totalInodes: 10_000,
}
const SUBJECT = 'Cannot pull "r.example/app:v1"'

function spaceOf(disk: Partial<FreeSpace> = {}) {
  return createDownloadSpace('/store', LIMITS, () => ({ ...DISK, ...disk }))
}

const nowhere = createRunningDownload('/nonexistent/a.part')

test('a blob that does not fit is refused before it is asked for, saying what is needed and what is free', async () => {
  await expect(spaceOf().reserve(nowhere, 15 * GIBIBYTE, SUBJECT)).rejects.toMatchObject({
    code: 'EXHAUSTED',
    message:
      'Cannot pull "r.example/app:v1": it needs 15.0 GiB, and 10.0 GiB are free for "/store" on this node; free some, or give the store a larger file system',
  })
  using _ = await spaceOf().reserve(nowhere, 10 * GIBIBYTE, SUBJECT)
})

test('downloads under way count with what they have still to get', async () => {
  const space = spaceOf()
  const other = createRunningDownload('/nonexistent/b.part')
  const reservation = await space.reserve(other, 8 * GIBIBYTE, SUBJECT)
  await expect(space.reserve(nowhere, 3 * GIBIBYTE, SUBJECT)).rejects.toThrow(
    'it needs 3.0 GiB, and 2.0 GiB are free',
  )
  setBytes(other.received, 7 * GIBIBYTE)
  {
    using _ = await space.reserve(nowhere, 3 * GIBIBYTE, SUBJECT)
  }
  setBytes(other.received, 0)
  reservation[Symbol.dispose]()
  using _ = await space.reserve(nowhere, 10 * GIBIBYTE, SUBJECT)
})

test('what is on disk need not be got again; a gap is not on disk', async () => {
  await using directory = await temporaryDirectory()
  const download = createRunningDownload(directory.file('a.part'))
  await writeFile(download.path, Buffer.alloc(1024 * 1024, 'x'))
  const space = spaceOf({ bytes: GIBIBYTE + 1024 * 1024 })
  const size = 2 * 1024 * 1024
  ;(await space.reserve(download, size, SUBJECT))[Symbol.dispose]()
  await writeFile(download.path, '')
  await truncate(download.path, size)
  await expect(space.reserve(download, size, SUBJECT)).rejects.toThrow(
    'it needs 2.0 MiB, and 1.0 MiB are free',
  )
})

test('without inodes nothing is begun; a small file system keeps a twentieth', async () => {
  await expect(spaceOf({ inodes: 101 }).reserve(nowhere, 1, SUBJECT)).rejects.toThrow(
    'it needs inodes, and none are free for "/store"',
  )
  const small = spaceOf({ bytes: 100, totalBytes: 1_000, inodes: 10, totalInodes: 100 })
  using _ = await small.reserve(nowhere, 50, SUBJECT)
  await expect(small.reserve(nowhere, 51, SUBJECT)).rejects.toThrow(
    'it needs 51 B, and 0 B are free',
  )
})

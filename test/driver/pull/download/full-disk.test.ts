import { execFile } from 'node:child_process'
import { mkdir, open, stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { isSystemError } from '../../../../common/errors.ts'
import { whyNoMounts } from '../../../support/mounts.ts'
import { poll } from '../../../support/poll.ts'
import { skipUnless } from '../../../support/skip-unless.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'
import { BLOB, BLOBS, MEBIBYTE, startDownloads } from './download-fixture.ts'

const why = await whyNoMounts()

/** A directory on a file system of its own, of so many bytes. */
async function smallFileSystem(directory: string, bytes: number): Promise<AsyncDisposable> {
  await mkdir(directory)
  await promisify(execFile)('mount', [
    '-t',
    'tmpfs',
    '-o',
    `size=${bytes},mode=0700`,
    'tmpfs',
    directory,
  ])
  return {
    [Symbol.asyncDispose]: async () => {
      await promisify(execFile)('umount', [directory])
    },
  }
}

test('a blob that cannot fit is not asked for', async (context) => {
  skipUnless(context, why)
  await using directory = await temporaryDirectory()
  await using _ = await smallFileSystem(directory.file('disk'), 4 * MEBIBYTE)
  await using downloads = await startDownloads({ storeDirectory: directory.file('disk') })
  await expect(downloads.ensure()).rejects.toMatchObject({
    code: 'EXHAUSTED',
    message: expect.stringMatching(
      new RegExp(
        `^${downloads.subject}: it needs 5.0 MiB, and (?:3\\.\\d|4\\.0) MiB are free for "${directory.file('disk')}" on this node; `,
      ),
    ),
  })
  expect(downloads.registry.requests).toEqual([])
})

test('a disk that others fill meanwhile: what was downloaded is deleted, and the pull goes on when there is room', async (context) => {
  skipUnless(context, why)
  await using directory = await temporaryDirectory()
  await using _ = await smallFileSystem(directory.file('disk'), 8 * MEBIBYTE)
  await using downloads = await startDownloads({ storeDirectory: directory.file('disk') })
  using gate = downloads.registry.hold({ ...BLOBS, afterBytes: 2 * MEBIBYTE })
  const done = downloads.ensure()
  const outcome = expect(done).rejects.toMatchObject({ code: 'ENOSPC' })
  await poll(() => downloads.blobs.downloaded(BLOB, downloads.origin) === 2 * MEBIBYTE, {
    deadlineMs: 10_000,
    what: '2 MiB',
  })
  const filler = directory.file('disk', 'filler')
  await fill(filler)
  gate.release()
  await outcome
  expect(await downloads.ingest()).toEqual([])
  await (await open(filler, 'w')).close()
  await downloads.ensure()
  expect((await stat(downloads.store.blobs.path(BLOB.digest))).size).toBe(BLOB.size)
})

/** Writes until there is no room. */
async function fill(path: string): Promise<void> {
  await using file = await open(path, 'w')
  try {
    for (;;) await file.write(Buffer.alloc(65_536, 'x'))
  } catch (error) {
    if (!isSystemError(error, 'ENOSPC')) throw error
  }
}

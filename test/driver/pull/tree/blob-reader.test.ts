import { renameSync, truncateSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { CodedError } from '../../../../common/errors.ts'
import { followBlob, openBlob } from '../../../../driver/pull/tree/blob-reader.ts'
import type { Cancellation } from '../../../../driver/pull/tree/tree-job.ts'
import {
  advanceWatermark,
  createWatermark,
  endWatermark,
} from '../../../../driver/pull/watermark.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'

const NEVER: Cancellation = { throwIfAborted() {} }

async function download(content: string) {
  const directory = await temporaryDirectory()
  const path = directory.file('ingest')
  const blobPath = directory.file('blob')
  writeFileSync(path, content)
  const watermark = createWatermark()
  return {
    path,
    blobPath,
    watermark,
    follow(signal = NEVER) {
      const reader = followBlob({ path, watermark, size: content.length }, blobPath, signal)
      const chunks = reader.chunks[Symbol.asyncIterator]()
      return {
        /** The next chunk as text; `end`; or `CODE message`. */
        next: () =>
          chunks.next().then(
            ({ done, value }) => (done === true ? 'end' : Buffer.from(value).toString()),
            (error: unknown) => {
              if (!(error instanceof CodedError)) throw error
              return `${error.code} ${error.message}`
            },
          ),
        [Symbol.dispose]: () => reader[Symbol.dispose](),
      }
    },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
}

/** Whether a promise is still open after the reader has looked a few times. */
async function isOpen(promise: Promise<unknown>): Promise<boolean> {
  let open = true
  void promise.then(() => {
    open = false
  })
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
  return open
}

test('bytes are read as far as they are there, whatever more the file holds', async () => {
  await using from = await download('abcdefgh')
  using reader = from.follow()
  advanceWatermark(from.watermark, 3)
  expect(await reader.next()).toBe('abc')
  const next = reader.next()
  expect(await isOpen(next)).toBe(true)
  advanceWatermark(from.watermark, 8)
  expect(await next).toBe('defgh')
})

test('the end is seen when the digest is known to be right, and not when all bytes are there', async () => {
  await using from = await download('abc')
  using reader = from.follow()
  advanceWatermark(from.watermark, 3)
  expect(await reader.next()).toBe('abc')
  const end = reader.next()
  expect(await isOpen(end)).toBe(true)
  endWatermark(from.watermark, 'complete')
  expect(await end).toBe('end')
})

test('bytes that turn out wrong have no end', async () => {
  await using from = await download('abc')
  using reader = from.follow()
  advanceWatermark(from.watermark, 3)
  expect(await reader.next()).toBe('abc')
  endWatermark(from.watermark, 'failed')
  expect(await reader.next()).toBe('UNAVAILABLE The download was given up')
})

test('a file that was moved into the store before it was opened is read there', async () => {
  await using from = await download('abc')
  using reader = from.follow()
  advanceWatermark(from.watermark, 3)
  endWatermark(from.watermark, 'complete')
  renameSync(from.path, from.blobPath)
  expect([await reader.next(), await reader.next()]).toEqual(['abc', 'end'])
})

test('a file that was cut off under its reader is given up', async () => {
  await using from = await download('abcdef')
  using reader = from.follow()
  advanceWatermark(from.watermark, 3)
  expect(await reader.next()).toBe('abc')
  truncateSync(from.path)
  advanceWatermark(from.watermark, 6)
  expect(await reader.next()).toBe('UNAVAILABLE The download was given up')
})

test('a cancellation is seen while nothing comes in', async () => {
  await using from = await download('')
  let cancelled = false
  using reader = from.follow({
    throwIfAborted() {
      if (cancelled) throw new CodedError('UNAVAILABLE', 'Cancelled')
    },
  })
  const next = reader.next()
  expect(await isOpen(next)).toBe(true)
  cancelled = true
  expect(await next).toBe('UNAVAILABLE Cancelled')
})

test("after the disposal nothing more is read: the number of the file may be another file's", async () => {
  await using directory = await temporaryDirectory()
  writeFileSync(directory.file('blob'), 'x'.repeat(600_000))
  using reader = openBlob(directory.file('blob'))
  expect(reader.size).toBe(600_000)
  const chunks = reader.chunks[Symbol.asyncIterator]()
  expect((await chunks.next()).done).toBe(false)
  reader[Symbol.dispose]()
  expect((await chunks.next()).done).toBe(true)
})

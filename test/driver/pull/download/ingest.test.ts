import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { digestOf } from '../../../../common/oci/digest.ts'
import { createByteCounter, readBytes } from '../../../../driver/pull/download/byte-counter.ts'
import { type Ingest, openIngest } from '../../../../driver/pull/download/ingest.ts'
import { createWatermark, readWatermark } from '../../../../driver/pull/watermark.ts'
import { ingestRecordPath } from '../../../../driver/store/ingest-files.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'

const CONTENT = Buffer.from(
  Array.from({ length: 10_000 }, (_, i) => createHash('md5').update(`${i}`).digest()[0] ?? 0),
)
const SIZE = CONTENT.length

function open(path: string) {
  const watermark = createWatermark()
  const received = createByteCounter()
  const ingest = openIngest({ path, size: SIZE, digest: digestOf(CONTENT), watermark, received })
  return { ingest, watermark, received }
}

function put(ingest: Ingest, start: number, end: number): number {
  return ingest.write(CONTENT.subarray(start, end), start)
}

function catchUp(ingest: Ingest): void {
  while (ingest.behind) ingest.catchUp()
}

const step = fc.oneof(
  {
    weight: 10,
    arbitrary: fc
      .tuple(fc.nat(SIZE), fc.nat(2_000))
      .map(([start, length]) => ({ start, end: Math.min(SIZE, start + length) })),
  },
  { weight: 2, arbitrary: fc.constantFrom('catch up' as const, 'end' as const, 'die' as const) },
)

test('parts in any order, with ends and deaths in between, become the whole', async () => {
  await using directory = await temporaryDirectory()
  let number = 0
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const path = directory.file(`${number++}.part`)
      let current = open(path)
      for (const next of steps) {
        if (next === 'catch up') catchUp(current.ingest)
        else if (next === 'end' || next === 'die') {
          const before = current.ingest.parts.total
          // One that dies closes nothing.
          if (next === 'end') current.ingest[Symbol.dispose]()
          current = open(path)
          expect(current.ingest.resumed).toBe(current.ingest.parts.total > 0)
          expect(current.ingest.parts.total).toBeLessThanOrEqual(before)
          // What is forgotten by a death is at most what was written since the record.
          expect(before - current.ingest.parts.total).toBeLessThanOrEqual(
            next === 'end' ? 0 : 2_000 + SIZE / 64,
          )
        } else {
          const { total } = current.ingest.parts
          const fresh = put(current.ingest, next.start, next.end)
          expect(current.ingest.parts.total).toBe(total + fresh)
        }
        const { prefix, total } = current.ingest.parts
        expect(readBytes(current.received)).toBe(total)
        expect(readWatermark(current.watermark)).toEqual({ bytes: prefix, state: 'running' })
        expect(readFileSync(path).subarray(0, prefix).equals(CONTENT.subarray(0, prefix))).toBe(
          true,
        )
      }
      for (const { start, end } of current.ingest.parts.missing(0, SIZE))
        put(current.ingest, start, end)
      catchUp(current.ingest)
      expect(current.ingest.hashed).toBe(true)
      expect(current.ingest.finish()).toBe(digestOf(CONTENT))
      current.ingest.removeRecord()
      current.ingest[Symbol.dispose]()
      expect(existsSync(ingestRecordPath(path))).toBe(false)
      expect(readFileSync(path).equals(CONTENT)).toBe(true)
    }),
    { numRuns: 150 },
  )
})

test('what is there is never written again', async () => {
  await using directory = await temporaryDirectory()
  const { ingest } = open(directory.file('a.part'))
  put(ingest, 0, 100)
  expect(ingest.write(Buffer.alloc(200, 0), 0)).toBe(100)
  expect(
    readFileSync(directory.file('a.part')).subarray(0, 100).equals(CONTENT.subarray(0, 100)),
  ).toBe(true)
  ingest[Symbol.dispose]()
})

test('a record is there before the first byte behind a gap, and only then', async () => {
  await using directory = await temporaryDirectory()
  const path = directory.file('a.part')
  const { ingest } = open(path)
  put(ingest, 0, 100)
  expect(existsSync(ingestRecordPath(path))).toBe(false)
  put(ingest, 200, 300)
  expect(existsSync(ingestRecordPath(path))).toBe(true)
  ingest[Symbol.dispose]()
  const again = open(path).ingest
  expect(again.parts.ranges).toEqual([
    { start: 0, end: 100 },
    { start: 200, end: 300 },
  ])
  again.remove()
  again[Symbol.dispose]()
  expect([existsSync(path), existsSync(ingestRecordPath(path))]).toEqual([false, false])
})

test.each([
  ['is gone, and its record left', undefined, '{"size":10000,"ranges":[[0,50]]}'],
  ['is shorter than its record says', CONTENT.subarray(0, 40), '{"size":10000,"ranges":[[0,50]]}'],
  ['is of another blob, by its record', CONTENT.subarray(0, 50), '{"size":9999,"ranges":[[0,50]]}'],
  ['has a record that is none', CONTENT.subarray(0, 50), 'X'],
  ['is larger than the blob', Buffer.alloc(SIZE + 1), undefined],
])('a file that %s begins afresh', async (_, file, record) => {
  await using directory = await temporaryDirectory()
  const path = directory.file('a.part')
  if (file !== undefined) writeFileSync(path, file)
  if (record !== undefined) writeFileSync(ingestRecordPath(path), record.padEnd(4_096))
  const { ingest } = open(path)
  expect([ingest.resumed, ingest.parts.total, statSync(path).size]).toEqual([false, 0, 0])
  expect(existsSync(ingestRecordPath(path))).toBe(false)
  ingest[Symbol.dispose]()
})

test('a file that somebody cuts under us is an error, not an endless wait', async () => {
  await using directory = await temporaryDirectory()
  const path = directory.file('a.part')
  const { ingest } = open(path)
  put(ingest, 5_000, SIZE)
  put(ingest, 0, 5_000)
  writeFileSync(path, '')
  expect(() => catchUp(ingest)).toThrow('The ingest file is shorter than what was written to it')
  ingest[Symbol.dispose]()
})

test('a link in place of the file is not followed', async () => {
  await using directory = await temporaryDirectory()
  const { symlinkSync } = await import('node:fs')
  writeFileSync(directory.file('victim'), 'precious')
  symlinkSync(directory.file('victim'), directory.file('a.part'))
  expect(() => open(directory.file('a.part'))).toThrow('ELOOP')
  expect(readFileSync(directory.file('victim'), 'utf8')).toBe('precious')
})

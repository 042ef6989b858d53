import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ByteRange } from '../../../../driver/pull/download/byte-ranges.ts'
import {
  formatIngestRecord,
  INGEST_RECORD_BYTES,
  parseIngestRecord,
} from '../../../../driver/pull/download/ingest-record.ts'

const SIZE = 2 ** 40

const ranges = fc
  .uniqueArray(fc.nat(SIZE), { maxLength: 1_000 })
  .map((offsets) => offsets.sort((a, b) => a - b))
  .map((offsets) => {
    const parts: ByteRange[] = []
    for (let i = 0; i + 1 < offsets.length; i += 2) {
      parts.push({ start: offsets[i] ?? 0, end: offsets[i + 1] ?? 0 })
    }
    return parts
  })

test('what is written is read again; of very many parts, the first', () => {
  fc.assert(
    fc.property(ranges, (parts) => {
      const bytes = formatIngestRecord(SIZE, parts)
      expect(bytes.length).toBe(INGEST_RECORD_BYTES)
      const read = parseIngestRecord(bytes, SIZE)
      expect(read).toEqual(parts.slice(0, read?.length))
      if (parts.length <= 100) expect(read).toEqual(parts)
      expect(parseIngestRecord(bytes, SIZE - 1)).toBeUndefined()
    }),
  )
})

function padded(text: string): Buffer {
  return Buffer.from(text.padEnd(INGEST_RECORD_BYTES))
}

test.each([
  ['an empty file', Buffer.alloc(0)],
  ['zeros, as after a power cut', Buffer.alloc(INGEST_RECORD_BYTES)],
  ['half a record', formatIngestRecord(9, [{ start: 0, end: 5 }]).subarray(0, 20)],
  ['a null', padded('null')],
  ['an array', padded('[]')],
  ['no ranges', padded('{"size":9}')],
  ['ranges of something', padded('{"size":9,"ranges":[1]}')],
  ['an empty range', padded('{"size":9,"ranges":[[3,3]]}')],
  ['a negative one', padded('{"size":9,"ranges":[[-1,3]]}')],
  ['a fraction', padded('{"size":9,"ranges":[[0,1.5]]}')],
  ['overlap', padded('{"size":9,"ranges":[[0,5],[4,6]]}')],
  ['two that touch', padded('{"size":9,"ranges":[[0,5],[5,6]]}')],
  ['disorder', padded('{"size":9,"ranges":[[5,6],[0,2]]}')],
  ['more than the blob', padded('{"size":9,"ranges":[[0,10]]}')],
  ['another size', padded('{"size":8,"ranges":[[0,2]]}')],
])('%s is no record', (_, bytes) => {
  expect(parseIngestRecord(bytes, 9)).toBeUndefined()
})

test('mutated bytes: it never throws, and gives only parts of the blob', () => {
  fc.assert(
    fc.property(ranges, fc.nat(INGEST_RECORD_BYTES - 1), fc.nat(255), (parts, at, value) => {
      const bytes = formatIngestRecord(SIZE, parts)
      bytes[at] = value
      for (const { start, end } of parseIngestRecord(bytes, SIZE) ?? []) {
        expect(0 <= start && start < end && end <= SIZE).toBe(true)
      }
    }),
  )
})

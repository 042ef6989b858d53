import type { ByteRange } from './byte-ranges.ts'

/** One write of one page: a killed process leaves the old text or the new. */
export const INGEST_RECORD_BYTES = 4096

/** Writes the record of an ingest file with gaps, always in as many bytes; of very many parts, the first ones: what it forgets is downloaded again. */
export function formatIngestRecord(size: number, ranges: readonly ByteRange[]): Buffer {
  for (let count = ranges.length; ; count--) {
    const parts = ranges.slice(0, count).map(({ start, end }) => [start, end])
    const text = JSON.stringify({ size, ranges: parts })
    if (text.length > INGEST_RECORD_BYTES) continue
    return Buffer.from(text.padEnd(INGEST_RECORD_BYTES))
  }
}

/** Reads the record of a download of `size` bytes; undefined when it is none, or of another. */
export function parseIngestRecord(bytes: Uint8Array, size: number): ByteRange[] | undefined {
  if (bytes.length !== INGEST_RECORD_BYTES) return undefined
  const record = readJson(bytes)
  if (record?.['size'] !== size || !Array.isArray(record['ranges'])) return undefined
  const parts: ByteRange[] = []
  let before = -1
  for (const part of record['ranges']) {
    const [start, end]: readonly unknown[] = Array.isArray(part) ? part : []
    if (!isOffset(start) || !isOffset(end) || start <= before || end <= start || end > size) {
      return undefined
    }
    parts.push({ start, end })
    before = end
  }
  return parts
}

function readJson(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('latin1'))
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined
  }
}

function isOffset(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

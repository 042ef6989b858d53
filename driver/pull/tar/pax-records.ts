import type { FileTime } from '../../linux/directory.ts'
import { forbiddenEntry, malformed } from './tar-fault.ts'
import { decodeName } from './tar-header.ts'

/** What a PAX header says of the entry after it; absent: as the entry's own header. */
export interface PaxRecords {
  readonly path?: string
  readonly linkpath?: string
  readonly size?: number
  readonly mtime?: FileTime
  /** The first of GNU's keys for sparse files. */
  readonly sparse?: string
}

const SPACE = 0x20
const EQUALS = 0x3d
const NEWLINE = 0x0a

/**
 * Reads the body of a PAX header: records `LENGTH KEY=VALUE\n`. Unknown keys, extended attributes among them, are dropped.
 *
 * @throws CORRUPT when a record is malformed
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_03
 */
export function parsePaxRecords(body: Buffer, at: number): PaxRecords {
  const records: { -readonly [Key in keyof PaxRecords]: PaxRecords[Key] } = {}
  for (let start = 0; start < body.length; ) {
    const space = body.indexOf(SPACE, start)
    const lengthText = body.toString('latin1', start, space < 0 ? start : space)
    const end = start + Number(lengthText)
    if (!/^[0-9]{1,8}$/.test(lengthText) || end > body.length || body[end - 1] !== NEWLINE) {
      throw malformed('a PAX record has a wrong length', at)
    }
    const equals = body.indexOf(EQUALS, space)
    if (equals <= space + 1 || equals >= end) throw malformed('a PAX record has no key', at)
    const key = body.toString('latin1', space + 1, equals)
    const value = body.subarray(equals + 1, end - 1)
    start = end
    if (key.startsWith('GNU.sparse.')) records.sparse ??= key
    // An empty value undoes the record.
    else if (key === 'path') assign(records, key, value, () => nameOf(value, key))
    else if (key === 'linkpath') assign(records, key, value, () => nameOf(value, key))
    else if (key === 'size') assign(records, key, value, () => sizeOf(value, at))
    else if (key === 'mtime') assign(records, key, value, () => timeOf(value, at))
  }
  return records
}

function assign<Key extends keyof PaxRecords>(
  records: { -readonly [K in keyof PaxRecords]: PaxRecords[K] },
  key: Key,
  value: Buffer,
  read: () => NonNullable<PaxRecords[Key]>,
): void {
  if (value.length === 0) delete records[key]
  else records[key] = read()
}

function nameOf(value: Buffer, key: string): string {
  const name = decodeName(value)
  if (name === undefined) {
    throw forbiddenEntry(value.toString(), `its PAX "${key}" is not valid UTF-8`)
  }
  return name
}

function sizeOf(value: Buffer, at: number): number {
  const text = value.toString('latin1')
  const size = Number(text)
  if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(size)) {
    throw malformed(`PAX size ${JSON.stringify(text.slice(0, 50))} is not within 0 to 2^53`, at)
  }
  return size
}

/** `1700000000.25`, `-1.5`: digits beyond nanoseconds are cut. */
function timeOf(value: Buffer, at: number): FileTime {
  const text = value.toString('latin1')
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(text)
  if (match === null) {
    throw malformed(`PAX mtime ${JSON.stringify(text.slice(0, 50))} is not a number`, at)
  }
  const seconds = Number(match[2])
  const nanoseconds = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'))
  if (match[1] === '') return { seconds, nanoseconds }
  return nanoseconds === 0
    ? { seconds: 0 - seconds, nanoseconds: 0 }
    : { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds }
}

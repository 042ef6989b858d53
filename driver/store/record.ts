/**
 * Readers for the small files of the store: each takes a field of a parsed JSON object and throws a TypeError naming it when it is
 * not what it should be. (These files are the driver's own; outside documents go through common/json.ts.)
 */
export interface RecordReader {
  text(key: string): string
  integer(key: string): number
  flag(key: string): boolean
  texts(key: string): readonly string[]
  records(key: string): readonly RecordReader[]
  entries(key: string): ReadonlyMap<string, number>
  record(key: string): RecordReader
  has(key: string): boolean
  keys(): readonly string[]
}

/** @throws TypeError when `value` is not a JSON object */
export function readRecord(value: unknown, name = 'document'): RecordReader {
  if (!isObject(value)) throw new TypeError(`${name} is not an object`)
  const field = <T>(key: string, is: (value: unknown) => value is T, what: string): T => {
    const found = value[key]
    if (!is(found)) throw new TypeError(`${name}.${key} is not ${what}`)
    return found
  }
  return {
    text: (key) => field(key, isText, 'a string'),
    integer: (key) => field(key, isInteger, 'a whole number'),
    flag: (key) => field(key, isFlag, 'true or false'),
    texts: (key) => field(key, isTexts, 'a list of strings'),
    records: (key) =>
      field(key, Array.isArray, 'a list').map((item: unknown, index) =>
        readRecord(item, `${name}.${key}[${index}]`),
      ),
    entries: (key) => new Map(Object.entries(field(key, isNumbers, 'an object of whole numbers'))),
    record: (key) => readRecord(field(key, isObject, 'an object'), `${name}.${key}`),
    has: (key) => value[key] !== undefined,
    keys: () => Object.keys(value),
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

function isFlag(value: unknown): value is boolean {
  return typeof value === 'boolean'
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(isText)
}

function isNumbers(value: unknown): value is Record<string, number> {
  return isObject(value) && Object.values(value).every(isInteger)
}

import { CodedError } from '../errors.ts'
import { asArray, asObject, asString, type JsonNode, parseJson } from '../json.ts'
import { quote } from './annotation-value.ts'
import { invalidAttribute } from './attribute-name.ts'
import { LIMITS } from './composition.ts'

// strconv.ParseBool, so that attributes written for the Go project mean the same.
const TRUE = ['1', 't', 'T', 'true', 'TRUE', 'True']
const FALSE = ['0', 'f', 'F', 'false', 'FALSE', 'False']

/** Reads a boolean as Go parses it. @throws INVALID for anything else */
export function parseAttributeBoolean(key: string, text: string): boolean {
  if (TRUE.includes(text)) return true
  if (FALSE.includes(text)) return false
  throw invalidAttribute(key, `found ${quote(text)}; expected "true" or "false"`)
}

/** Reads a whole number from 1 to `maximum`. @throws INVALID for anything else */
export function parseAttributeCount(key: string, text: string, maximum: number): number {
  const count = /^[0-9]{1,9}$/.test(text) ? Number(text) : 0
  if (count >= 1 && count <= maximum) return count
  throw invalidAttribute(key, `found ${quote(text)}; expected a whole number from 1 to ${maximum}`)
}

/**
 * Reads a list: separated by commas, blanks around items dropped; or a JSON array when it starts with `[`.
 *
 * @throws INVALID for JSON that is no array of strings, and for an empty item
 */
export function parseAttributeList(key: string, text: string): readonly string[] {
  const items = text.startsWith('[')
    ? parseJsonList(key, text)
    : text.split(',').map((item) => item.trim())
  if (items.every((item) => item !== '')) return items
  throw invalidAttribute(key, `found an empty item in ${quote(text)}; expected e.g. "a,b"`)
}

/**
 * Reads annotations and their globs: `key=glob` separated by commas, a key as often as it has globs; or a JSON object whose values are
 * a glob or an array of globs, when it starts with `{`.
 *
 * @throws INVALID for anything else; whether keys and globs are good is the caller's to check
 */
export function parseAttributeGlobs(
  key: string,
  text: string,
): ReadonlyMap<string, readonly string[]> {
  return text.startsWith('{') ? parseJsonGlobs(key, text) : parsePairs(key, text)
}

/** Writes annotations and their globs so that {@link parseAttributeGlobs} reads them back, always as JSON. */
export function formatAttributeGlobs(globs: Readonly<Record<string, readonly string[]>>): string {
  return JSON.stringify(
    Object.fromEntries(
      Object.entries(globs).map(([key, list]) => [key, list.length === 1 ? list[0] : list]),
    ),
  )
}

/** Writes a list so that {@link parseAttributeList} reads it back: commas where that is possible, else JSON. */
export function formatAttributeList(items: readonly string[]): string {
  const plain = items.every((item) => item !== '' && item === item.trim() && !/[,[{]/.test(item))
  return plain && items.length > 0 ? items.join(',') : JSON.stringify(items)
}

function parseJsonList(key: string, text: string): readonly string[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw invalidAttribute(key, `found ${quote(text)}, which is not valid JSON`, { cause })
  }
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  throw invalidAttribute(key, `found ${quote(text)}; expected a JSON array of strings`)
}

function parsePairs(key: string, text: string): ReadonlyMap<string, readonly string[]> {
  const globs = new Map<string, readonly string[]>()
  for (const pair of parseAttributeList(key, text)) {
    const at = pair.indexOf('=')
    if (at < 0) {
      throw invalidAttribute(
        key,
        `found ${quote(pair)}; expected key=glob, e.g. "com.acme.kind=plugin-*"`,
      )
    }
    const name = pair.slice(0, at)
    globs.set(name, [...(globs.get(name) ?? []), pair.slice(at + 1)])
  }
  return globs
}

function parseJsonGlobs(key: string, text: string): ReadonlyMap<string, readonly string[]> {
  try {
    const root = parseJson(Buffer.from(text), {
      name: 'found JSON',
      code: 'INVALID',
      maxBytes: LIMITS.attributeBytesPerVolume,
    })
    const fields = [...asObject(root).fields]
    return new Map(fields.map(([name, node]) => [name, globsOf(node)]))
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    throw invalidAttribute(key, error.message, { cause: error })
  }
}

function globsOf(node: JsonNode): readonly string[] {
  if (!Array.isArray(node.value)) return [asString(node)]
  return asArray(node, LIMITS.attributeBytesPerVolume).map(asString)
}

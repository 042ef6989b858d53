import { CodedError, type ErrorCode } from './errors.ts'

/** What a document is called in messages, which code its faults have, and what it may cost. */
export interface JsonLimits {
  /** The first part of every path in a message, e.g. `manifest`. */
  readonly name: string
  /** `CORRUPT` for what a server sent, `INVALID` for what a person wrote. */
  readonly code: ErrorCode
  /** Of what is no JSON at all, e.g. `UNAVAILABLE` for a file that may be half-written; default `code`. */
  readonly unparsableCode?: ErrorCode
  readonly maxBytes: number
  /** Default 32. */
  readonly maxDepth?: number
  /** Objects, arrays, members and items together; default 200,000. */
  readonly maxValues?: number
  /** The document holds credentials, or comes from whom a pod's reference names: messages tell the kinds of values only. */
  readonly secret?: boolean
}

/** A value of a parsed document and where it stands, e.g. `manifest.layers[2].size`. */
export interface JsonNode {
  readonly path: string
  readonly value: unknown
  readonly limits: JsonLimits
}

/** An object of a parsed document: its fields in their order. */
export interface JsonObject extends JsonNode {
  readonly fields: ReadonlyMap<string, JsonNode>
}

// Deeper than any document of OCI or docker, far from any stack limit.
const DEFAULT_MAX_DEPTH = 32
// Ten times a manifest of 1000 annotated layers, and parsed in a tenth of a second; 4 MiB of `{},` take four.
const DEFAULT_MAX_VALUES = 200_000

/**
 * Reads JSON that came from outside: valid UTF-8, within its limits, no object with the same key twice, no `__proto__`.
 *
 * Two readers of a document with a key twice may see two meanings; `JSON.parse` keeps the last and says nothing.
 *
 * @throws `limits.code`, or `limits.unparsableCode`, naming the document and the fault, never quoting it
 */
export function parseJson(bytes: Uint8Array, limits: JsonLimits): JsonNode {
  const root: JsonNode = { path: limits.name, value: undefined, limits }
  if (bytes.byteLength > limits.maxBytes) {
    throw jsonFault(root, `${bytes.byteLength} bytes; at most ${limits.maxBytes} are read`)
  }
  const text = decodeUtf8(bytes, root)
  checkSize(text, root)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    // The original quotes the document, which may hold a password: no cause, and its position only.
    const position = error instanceof Error && /at position (\d+)/.exec(error.message)?.[1]
    throw unparsable(root, position ? `not valid JSON at character ${position}` : 'not valid JSON')
  }
  checkKeys(text, root)
  return { ...root, value }
}

/** Reads an object. @throws the document's code for anything else */
export function asObject(node: JsonNode): JsonObject {
  const { value } = node
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw mismatch(node, 'an object')
  }
  const fields = new Map<string, JsonNode>()
  for (const [key, child] of Object.entries(value)) {
    fields.set(key, { path: memberPath(node.path, key), value: child, limits: node.limits })
  }
  return { ...node, fields }
}

/** Reads an array of at most `maxItems`. @throws the document's code */
export function asArray(node: JsonNode, maxItems: number): readonly JsonNode[] {
  const { value } = node
  if (!Array.isArray(value)) throw mismatch(node, 'an array')
  if (value.length > maxItems) {
    throw jsonFault(node, `${value.length} items; at most ${maxItems} are read`)
  }
  return value.map((child: unknown, at) => ({
    path: `${node.path}[${at}]`,
    value: child,
    limits: node.limits,
  }))
}

/** Reads a string of whole characters (no lone surrogate, which no file name or header can carry). @throws the document's code */
export function asString(node: JsonNode): string {
  if (typeof node.value !== 'string') throw mismatch(node, 'a string')
  if (!node.value.isWellFormed()) throw jsonFault(node, 'holds half of a surrogate pair')
  return node.value
}

/** Reads an integer from 0 to 2^53 - 1. @throws the document's code */
export function asSize(node: JsonNode): number {
  const { value } = node
  if (typeof value !== 'number' || !Number.isInteger(value)) throw mismatch(node, 'an integer')
  if (value < 0 || value > Number.MAX_SAFE_INTEGER) {
    throw mismatch(node, 'an integer from 0 to 2^53 - 1')
  }
  // -0 is an integer to JavaScript and to nobody else.
  return value === 0 ? 0 : value
}

/** Reads an object whose values are strings, as an object without a prototype. @throws the document's code */
export function asStringRecord(node: JsonNode): Readonly<Record<string, string>> {
  const record: Record<string, string> = Object.create(null)
  for (const [key, child] of asObject(node).fields) record[key] = asString(child)
  return record
}

/** Finds a field; undefined when it is absent or null, which Go writes for an empty value. */
export function optionalField(object: JsonObject, key: string): JsonNode | undefined {
  const field = object.fields.get(key)
  return field?.value === null ? undefined : field
}

/** Finds a field. @throws the document's code when it is absent or null */
export function requiredField(object: JsonObject, key: string): JsonNode {
  const field = optionalField(object, key)
  if (field === undefined) throw jsonFault(object, `has no "${key}"`)
  return field
}

/**
 * Refuses fields that differ from a known one in letter case only. Go takes `Layers` for `layers`: a document
 * with such a field says one thing to us and another to tools in Go.
 *
 * @throws the document's code
 */
export function refuseCaseVariants(object: JsonObject, known: readonly string[]): void {
  for (const [key, field] of object.fields) {
    const meant = known.find((name) => name !== key && fold(name) === fold(key))
    if (meant !== undefined) throw jsonFault(field, `a variant of "${meant}"; expected "${meant}"`)
  }
}

/** Makes the error for a fault at a node. */
export function jsonFault(node: JsonNode, fault: string, options?: ErrorOptions): CodedError {
  return new CodedError(node.limits.code, `${node.path}: ${fault}`, options)
}

// Both directions, since "ſ" and the Kelvin sign reach "s" and "k" in one of them only, and Go folds both.
function fold(key: string): string {
  return key.toUpperCase().toLowerCase()
}

function mismatch(node: JsonNode, expected: string): CodedError {
  return jsonFault(node, `expected ${expected}, found ${describe(node)}`)
}

function describe({ value, limits }: JsonNode): string {
  if (value === undefined || value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object') return 'an object'
  if (limits.secret) return `a ${typeof value}`
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 100)) : String(value)
}

function memberPath(path: string, key: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(key)
    ? `${path}.${key}`
    : `${path}[${JSON.stringify(key.slice(0, 100))}]`
}

function decodeUtf8(bytes: Uint8Array, root: JsonNode): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (error) {
    throw unparsable(root, 'not valid UTF-8', { cause: error })
  }
}

function unparsable(root: JsonNode, fault: string, options?: ErrorOptions): CodedError {
  const { code, unparsableCode = code } = root.limits
  return new CodedError(unparsableCode, `${root.path}: ${fault}`, options)
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const COMMA = 0x2c
const OPEN = [0x5b, 0x7b]
const CLOSE = [0x5d, 0x7d]
const OPEN_OBJECT = 0x7b

/**
 * Counts brackets and commas before anything is parsed: `JSON.parse` takes half a second, in which the process answers
 * nobody, for a few MiB of them. The text may be anything here; one step for each character, whatever it is.
 */
function checkSize(text: string, root: JsonNode): void {
  const { maxDepth = DEFAULT_MAX_DEPTH, maxValues = DEFAULT_MAX_VALUES } = root.limits
  let depth = 0
  let values = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = endOfString(text, at)
    else if (code === COMMA) values++
    else if (CLOSE.includes(code)) depth--
    else if (OPEN.includes(code)) {
      values++
      if (++depth > maxDepth) throw jsonFault(root, `nested deeper than ${maxDepth}`)
    }
    if (values > maxValues) throw jsonFault(root, `holds more than ${maxValues} values`)
  }
}

/** Walks text that `JSON.parse` accepted: every string before a colon is a key of the innermost object. */
function checkKeys(text: string, root: JsonNode): void {
  const open: (Set<string> | undefined)[] = []
  let string = { from: 0, to: 0 }
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      string = { from: at, to: endOfString(text, at) }
      at = string.to
    } else if (OPEN.includes(code)) {
      open.push(code === OPEN_OBJECT ? new Set() : undefined)
    } else if (CLOSE.includes(code)) {
      open.pop()
    } else if (code === COLON) {
      checkKey(text.slice(string.from, string.to + 1), open.at(-1), root)
    }
  }
}

/** Where the string that starts at `from` has its closing quote; the end of the text when it has none. */
function endOfString(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === BACKSLASH) at++
    else if (code === QUOTE) return at
  }
  return text.length
}

function checkKey(token: string, keys: Set<string> | undefined, root: JsonNode): void {
  const key: unknown = token.includes('\\') ? JSON.parse(token) : token.slice(1, -1)
  if (typeof key !== 'string' || keys === undefined) return
  if (key === '__proto__') throw jsonFault(root, 'has a key "__proto__"')
  if (keys.has(key)) {
    // Somebody may have put "https://user:password@host" into a docker config.
    const shown =
      root.limits.secret && key.includes('@') ? '' : ` ${JSON.stringify(key.slice(0, 100))}`
    throw jsonFault(root, `has the key${shown} twice in one object`)
  }
  keys.add(key)
}

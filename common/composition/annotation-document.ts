import {
  type Document,
  type ErrorCode,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
  type YAMLMap,
} from 'yaml'
import type { AnnotationValue, Member, ScalarValue } from './annotation-value.ts'
import { invalidAt, type Place } from './finding.ts'
import { findUnprintable } from './printable-text.ts'

// No annotation of ours nests deeper than entry, select, annotations; the rest is an attack on the stack.
const MAX_DEPTH = 8

/**
 * Reads the YAML 1.2 or JSON of an annotation into values that know their place.
 *
 * Strict: one document, keys that are unique text, no aliases, anchors, tags, directives, merge keys; the parser's
 * warnings are errors; no control or bidi characters, written or escaped. The caller caps the size before.
 *
 * @param name the annotation, e.g. `oras.land/artifacts`
 * @returns undefined when there is nothing but blanks and comments
 * @throws INVALID with line and column
 */
export function parseAnnotationDocument(name: string, text: string): AnnotationValue | undefined {
  const lines = new LineCounter()
  const placeAt = (path: string, offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return {
      path,
      annotation: name,
      position: { line: Math.max(line, 1), column: Math.max(col, 1) },
    }
  }
  const document = parseYaml(text, lines)
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem !== undefined) {
    const text = PROBLEMS[problem.code] ?? `not valid YAML or JSON: ${lowerFirst(problem.message)}`
    throw invalidAt(placeAt(name, problem.pos[0]), text)
  }
  // After the parser, which fills the line counter.
  const unprintable = findUnprintable(text, true)
  if (unprintable !== undefined) {
    throw invalidAt(placeAt(name, unprintable.offset), unprintableText(unprintable.name))
  }
  // A directive could switch to YAML 1.1, where "yes" is a boolean and "<<" merges.
  if (hasDirectives(document)) {
    throw invalidAt(placeAt(name, 0), 'found a YAML directive (a line that starts with "%")')
  }
  const root = document.contents
  return root === null ? undefined : convert(root, placeAt(name, root.range[0]), placeAt, 0)
}

const ALIAS = 'found a YAML alias, which is not allowed; put text that starts with "*" in quotes'
const TAG = 'found a YAML tag ("!"), which is not allowed; put text that starts with "!" in quotes'
const TOO_DEEP = `nested more than ${MAX_DEPTH} levels deep`
const YAML_TAGS = 'tag:yaml.org,2002:'

/** Where the parser's own words would not help a user. */
const PROBLEMS: { readonly [K in ErrorCode]?: string } = {
  BAD_ALIAS: ALIAS,
  MULTIPLE_DOCS: 'found a second YAML document; expected one',
  TAG_RESOLVE_FAILED: TAG,
  RESOURCE_EXHAUSTION: TOO_DEEP,
}

type PlaceAt = (path: string, offset: number) => Place

function parseYaml(text: string, lineCounter: LineCounter) {
  return parseDocument<ParsedNode>(text, {
    version: '1.2',
    schema: 'core',
    merge: false,
    strict: true,
    // Checked below in linear time: the parser compares every pair of keys.
    uniqueKeys: false,
    prettyErrors: false,
    lineCounter,
  })
}

function hasDirectives(document: Document.Parsed): boolean {
  const { yaml, tags } = document.directives
  return yaml.explicit === true || Object.keys(tags).length > 1 || tags['!!'] !== YAML_TAGS
}

function convert(node: ParsedNode, place: Place, placeAt: PlaceAt, depth: number): AnnotationValue {
  if (depth > MAX_DEPTH) throw invalidAt(place, TOO_DEEP)
  if (!(isScalar(node) || isMap(node) || isSeq(node))) throw invalidAt(place, ALIAS)
  if (node.anchor !== undefined)
    throw invalidAt(place, 'found a YAML anchor ("&"), which is not allowed')
  if (node.tag !== undefined) throw invalidAt(place, TAG)
  if (isScalar(node)) return { kind: 'scalar', value: scalar(node.value, place), place }
  if (isMap(node)) return { kind: 'mapping', members: members(node, place, placeAt, depth), place }
  const items = node.items.map((item, index) => {
    return convert(item, placeAt(`${place.path}[${index}]`, item.range[0]), placeAt, depth + 1)
  })
  return { kind: 'list', items, place }
}

function members(map: YAMLMap.Parsed, place: Place, placeAt: PlaceAt, depth: number): Member[] {
  const seen = new Map<string, Place>()
  return map.items.map((pair) => {
    const at = placeAt(place.path, pair.key.range[0])
    const key = convert(pair.key, at, placeAt, depth + 1)
    if (key.kind !== 'scalar' || typeof key.value !== 'string') {
      throw invalidAt(at, 'found a key that is not text; expected text, in quotes if need be')
    }
    const path = memberPath(place.path, key.value)
    const before = seen.get(key.value)
    if (before !== undefined) {
      throw invalidAt({ ...at, path }, `found twice, first on line ${before.position?.line}`)
    }
    seen.set(key.value, at)
    const value: AnnotationValue =
      pair.value === null
        ? { kind: 'scalar', value: null, place: { ...at, path } }
        : convert(pair.value, placeAt(path, pair.value.range[0]), placeAt, depth + 1)
    return { key: key.value, place: { ...at, path }, value }
  })
}

function memberPath(parent: string, key: string): string {
  const shown = key.length > 100 ? `${key.slice(0, 100)}…` : key
  return /^[a-zA-Z]\w*$/.test(shown) ? `${parent}.${shown}` : `${parent}[${JSON.stringify(shown)}]`
}

function scalar(value: unknown, place: Place): ScalarValue['value'] {
  if (typeof value === 'string') {
    const unprintable = findUnprintable(value)
    if (unprintable !== undefined) throw invalidAt(place, unprintableText(unprintable.name))
    return value
  }
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return value
  throw invalidAt(place, 'found a value that is neither text, number nor boolean')
}

function unprintableText(name: string): string {
  return `found the control or invisible character ${name}; not allowed`
}

function lowerFirst(message: string): string {
  return message.slice(0, 1).toLowerCase() + message.slice(1)
}

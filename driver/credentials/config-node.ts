import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
} from 'yaml'
import { CodedError } from '../../common/errors.ts'
import { didYouMean } from '../../common/suggest.ts'

/** A value of a configuration file and where it stands, e.g. `providers[0].name`. */
export interface ConfigNode {
  readonly path: string
  readonly node: unknown
  /** Where it begins, or what it is in where nothing is written. */
  readonly offset: number
  readonly source: ConfigSource
}

interface ConfigSource {
  readonly file: string
  readonly lines: LineCounter
  readonly document: Document.Parsed
}

/** The fields of a mapping. A field whose value is null counts as absent, as in Go. */
export interface ConfigFields {
  optional(name: string): ConfigNode | undefined
  /** @throws INVALID when it is absent */
  required(name: string): ConfigNode
}

/**
 * Reads one YAML 1.2 or JSON document of an admin: unique keys, no unknown tags; aliases are followed.
 *
 * @param file for messages
 * @throws INVALID `file:line: ...`; values are not quoted
 */
export function parseConfigDocument(text: string, file: string): ConfigNode {
  const lines = new LineCounter()
  const document = parseDocument<ParsedNode>(text, {
    version: '1.2',
    schema: 'core',
    strict: true,
    prettyErrors: false,
    lineCounter: lines,
  })
  const source = { file, lines, document }
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem !== undefined) {
    const place = { path: '', node: undefined, offset: problem.pos[0], source }
    // The parser's own words may quote the text, which may be a variable's value.
    throw configFault(place, `not valid YAML or JSON (${problem.code})`)
  }
  return { path: '', node: document.contents, offset: 0, source }
}

/** Reads a mapping that has none but the known fields. @throws INVALID */
export function configFields(at: ConfigNode, known: readonly string[]): ConfigFields {
  const map = resolved(at)
  if (!isMap(map)) throw configFault(at, 'expected a mapping')
  const fields = new Map<string, ConfigNode>()
  for (const { key, value } of map.items) {
    const name = isScalar(key) ? String(key.value) : ''
    const offset = offsetOf(key) ?? at.offset
    const path = at.path === '' ? name : `${at.path}.${name}`
    if (!known.includes(name)) {
      const shown = JSON.stringify(name.slice(0, 100))
      throw configFault(
        { ...at, offset },
        `has an unknown field ${shown}${didYouMean(name, known)}`,
      )
    }
    if (value === null || (isScalar(value) && value.value === null)) continue
    fields.set(name, { path, node: value, offset: offsetOf(value) ?? offset, source: at.source })
  }
  return {
    optional: (name) => fields.get(name),
    required(name) {
      const field = fields.get(name)
      if (field === undefined) throw configFault(at, `has no "${name}"`)
      return field
    },
  }
}

/** Reads a list. @throws INVALID */
export function configItems(at: ConfigNode): readonly ConfigNode[] {
  const list = resolved(at)
  if (!isSeq(list)) throw configFault(at, 'expected a list')
  return list.items.map((node, index) => ({
    path: `${at.path}[${index}]`,
    node,
    offset: offsetOf(node) ?? at.offset,
    source: at.source,
  }))
}

/** Reads text. @throws INVALID for a number or a boolean too, which the kubelet does not take for text */
export function configText(at: ConfigNode): string {
  const scalar = resolved(at)
  if (isScalar(scalar) && typeof scalar.value === 'string') return scalar.value
  const found = isScalar(scalar) ? `a ${typeof scalar.value}` : 'no text'
  throw configFault(at, `expected text, found ${found}; quotes make it text`)
}

/** Makes the error for a fault at a node. */
export function configFault({ path, offset, source }: ConfigNode, fault: string): CodedError {
  const line = Math.max(source.lines.linePos(offset).line, 1)
  const place = path === '' ? '' : `${path}: `
  return new CodedError('INVALID', `${source.file}:${line}: ${place}${fault}`)
}

function resolved({ node, source }: ConfigNode): unknown {
  return isAlias(node) ? node.resolve(source.document) : node
}

function offsetOf(node: unknown): number | undefined {
  return isScalar(node) || isMap(node) || isSeq(node) || isAlias(node) ? node.range?.[0] : undefined
}

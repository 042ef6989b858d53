import {
  type Document,
  isMap,
  LineCounter,
  type ParsedNode,
  parseAllDocuments,
  stringify,
  type Tags,
  visit,
} from 'yaml'
import type { Position } from '../common/composition/finding.ts'
import { CodedError, messageOf } from '../common/errors.ts'
import { isJsonObject, type JsonObject } from '../webhook/json.ts'

/** A text of Kubernetes objects, and where everything stands in it. */
export interface Manifest {
  /** For messages: the path as it was given, or `stdin`. */
  readonly name: string
  /** Without those that have a fault. */
  readonly documents: readonly ManifestDocument[]
  /** What keeps the text from being one of objects, in its order. */
  readonly faults: readonly ManifestFault[]
  /** Where a character of the text stands. */
  positionAt(offset: number): Position
}

/** One document of a stream. */
export interface ManifestDocument {
  /** The whole of it, with the `---` before it and the comments after it; all texts together are the manifest's. */
  readonly text: string
  /** Undefined for an empty one. */
  readonly object: JsonObject | undefined
  /** Its nodes' ranges are offsets in the manifest. */
  readonly nodes: Document.Parsed<ParsedNode>
  /** Where {@link text} begins. */
  readonly offset: number
}

export interface ManifestFault {
  readonly position: Position
  readonly message: string
}

const TEMPLATE =
  'Found a template ("{{"), which is not YAML yet; expected what it renders to, e.g. by "helm template . | oras-csi lint -"'

/** Reads YAML or JSON documents as kubectl does: YAML 1.1, where `defaultMode: 0644` is octal and `yes` is true. */
export function parseManifest(name: string, text: string): Manifest {
  const lines = new LineCounter()
  const parsed = [
    ...parseAllDocuments<ParsedNode>(text, {
      version: '1.1',
      merge: true,
      customTags: withoutTimes,
      prettyErrors: false,
      lineCounter: lines,
    }),
  ]
  const positionAt = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  const documents: ManifestDocument[] = []
  const faults: ManifestFault[] = []
  let end = 0
  for (const [index, nodes] of parsed.entries()) {
    const offset = end
    end = index === parsed.length - 1 ? text.length : lineEndAt(text, nodes.range[2])
    const read = readObject(nodes, text)
    if ('fault' in read) faults.push({ position: positionAt(read.at), message: read.fault })
    else documents.push({ text: text.slice(offset, end), object: read.object, nodes, offset })
    // What follows a template's first line that is no YAML is noise.
    if ('fault' in read && read.fault === TEMPLATE) break
  }
  return { name, documents, faults, positionAt }
}

/**
 * Takes the first fault of a manifest as an error.
 *
 * @throws INVALID with the file's name, the line and the column
 */
export function refuseFaults({ name, faults }: Manifest): void {
  const [fault] = faults
  if (fault === undefined) return
  const { line, column } = fault.position
  throw new CodedError('INVALID', `${name}:${line}:${column}: ${fault.message}`)
}

/** Writes an object so that readers of YAML 1.1 and of 1.2 see the same in it. */
export function formatManifest(object: JsonObject): string {
  return stringify(object, { lineWidth: 0, compat: 'yaml-1.1', aliasDuplicateObjects: false })
}

/** An empty document ends in the middle of the line of its `---`. */
function lineEndAt(text: string, offset: number): number {
  if (text[offset - 1] === '\n') return offset
  return offset + (/^\s*?\n/.exec(text.slice(offset))?.[0].length ?? 0)
}

type Read =
  | { readonly object: JsonObject | undefined }
  | { readonly fault: string; readonly at: number }

function readObject(nodes: Document.Parsed<ParsedNode>, text: string): Read {
  const [error] = nodes.errors
  const template = findTemplate(nodes) ?? (error && templateOnLine(text, error.pos[0]))
  if (template !== undefined) return { fault: TEMPLATE, at: template }
  if (error !== undefined) return { fault: error.message, at: error.pos[0] }
  const start = nodes.contents?.range[0] ?? nodes.range[0]
  let value: unknown
  try {
    value = nodes.toJS()
  } catch (problem) {
    // An alias without its anchor, or a bomb of them.
    return { fault: messageOf(problem), at: start }
  }
  if (value === null) return { object: undefined }
  if (isJsonObject(value)) return { object: value }
  return { fault: 'Found a document that is not an object', at: start }
}

/** To YAML, `{{ .Values.x }}` is a mapping whose key is a mapping, which no object of Kubernetes has. */
function findTemplate(nodes: Document.Parsed<ParsedNode>): number | undefined {
  let found: number | undefined
  visit(nodes, {
    Map(_, map) {
      if (!map.flow || !isMap(map.items[0]?.key)) return undefined
      found = map.range?.[0]
      return visit.BREAK
    },
  })
  return found
}

/** Many others, as `{{ if .x }}` on a line of its own, are no YAML at all. */
function templateOnLine(text: string, fault: number): number | undefined {
  const start = text.lastIndexOf('\n', fault - 1) + 1
  const before = /^ *(?:- +)*(?:[^\s"'#]+: +)?(?=\{\{)/.exec(text.slice(start, start + MAX_LINE))
  return before === null ? undefined : start + before[0].length
}

// What stands before a template on its line is short.
const MAX_LINE = 1000

/** To kubectl a date or "12:30" is text. */
function withoutTimes(tags: Tags): Tags {
  return tags.filter(
    (tag) =>
      typeof tag === 'string' ||
      (tag.tag !== 'tag:yaml.org,2002:timestamp' && tag.format !== 'TIME'),
  )
}

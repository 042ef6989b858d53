import { isAlias, isMap, isScalar, isSeq, type Node, type ParsedNode, type Scalar } from 'yaml'
import type { Position } from '../common/composition/finding.ts'
import type { Manifest, ManifestDocument } from './manifest.ts'
import type { ObjectFinding, ObjectPath } from './object-review.ts'

/**
 * Finds where in the file a finding stands: exactly, where the annotation is a literal block (`|`) or stands on one line as it is; else the
 * annotation's key; else the nearest thing around it that can be found.
 */
export function placeOfFinding(
  manifest: Manifest,
  document: ManifestDocument,
  finding: ObjectFinding,
): Position {
  const { key, value } = nodeAlong(document, [...finding.workload, ...finding.path])
  const inside =
    finding.position !== undefined && isScalar(value)
      ? offsetInside(document, value, finding.position)
      : undefined
  return manifest.positionAt(inside ?? (key ?? value)?.range?.[0] ?? document.offset)
}

interface Found {
  readonly key?: Node
  readonly value: Node | null
}

/** The last node of the path that there is; members that come by a merge key (`<<`) are not looked for. */
function nodeAlong({ nodes }: ManifestDocument, path: ObjectPath): Found {
  let found: Found = { value: nodes.contents }
  for (const step of path) {
    const parent: Node | null | undefined = isAlias(found.value)
      ? found.value.resolve(nodes)
      : found.value
    const next = childOf(parent, step)
    if (next === undefined) return { ...found, value: null }
    found = next
  }
  return found
}

function childOf(parent: Node | null | undefined, step: string | number): Found | undefined {
  if (isSeq<ParsedNode>(parent) && typeof step === 'number') {
    const value = parent.items[step]
    return value === undefined ? undefined : { value }
  }
  if (!isMap<ParsedNode, ParsedNode | null>(parent)) return undefined
  const pair = parent.items.find(({ key }) => isScalar(key) && key.value === step)
  return pair && { key: pair.key, value: pair.value }
}

function offsetInside(
  { text, offset }: ManifestDocument,
  scalar: Scalar,
  { line, column }: Position,
): number | undefined {
  if (scalar.range === undefined || scalar.range === null) return undefined
  const [start, end] = scalar.range
  const source = text.slice(start - offset, end - offset)
  if (scalar.type === 'BLOCK_LITERAL') {
    const at = offsetInBlock(source, String(scalar.value), { line, column })
    return at === undefined ? undefined : start + at
  }
  const quote = /^["']/.test(source) ? 1 : 0
  const isAsItIs = source.slice(quote, source.length - quote) === scalar.value
  return isAsItIs && line === 1 ? start + quote + column - 1 : undefined
}

/** The lines of a literal block stand below its header one by one, each behind the same indentation. */
function offsetInBlock(
  source: string,
  value: string,
  { line, column }: Position,
): number | undefined {
  const lines = source.split('\n')
  const values = value.split('\n')
  const some = values.findIndex((one) => one.trim() !== '')
  const indent = indentOf(lines[some + 1]) - indentOf(values[some])
  const before = lines.slice(0, line)
  const here = lines[line]
  if (some < 0 || here === undefined) return undefined
  const start = before.reduce((sum, one) => sum + one.length + 1, 0)
  return start + Math.min(indent + column - 1, here.length)
}

function indentOf(line = ''): number {
  return line.length - line.trimStart().length
}

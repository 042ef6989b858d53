import { isMap, isSeq, type ParsedNode, type Range } from 'yaml'
import type { TextEdit } from './text-edit.ts'
import type { YamlStyle } from './yaml-style.ts'

/** The text of a document while changes to it are planned. */
export interface YamlPage {
  readonly text: string
  /** Of the text in the manifest, which the ranges of nodes count from. */
  readonly offset: number
  readonly style: YamlStyle
  /** Those that are planned; their offsets count from {@link text}. */
  readonly edits: TextEdit[]
}

/** Where the text of a node begins and ends, without the comments after it. */
export function rangeOf({ offset }: YamlPage, node: ParsedNode): readonly [number, number] {
  return [node.range[0] - offset, lastIn(node).range[1] - offset]
}

/** The beginning of the line after a node. */
export function lineAfter(page: YamlPage, node: ParsedNode): number {
  const [start, end] = rangeOf(page, lastIn(node))
  const source = page.text.slice(start, end)
  if (!source.endsWith('\n')) return lineEnd(page, end)
  // A block of text; blank lines after it belong to it only where it says so ("|+").
  const isKept = /^[|>][0-9]*\+/.test(source)
  return isKept ? end : lineEnd(page, start + source.trimEnd().length)
}

/** The beginning of the line after the one of `offset`. */
export function lineEnd({ text }: YamlPage, offset: number): number {
  const at = text.indexOf('\n', offset)
  return at < 0 ? text.length : at + 1
}

/** How many characters stand before a node on its line. */
export function columnOf(
  { text, offset }: YamlPage,
  { range }: { readonly range?: Range | null | undefined },
): number {
  const at = (range?.[0] ?? offset) - offset
  return at - (text.lastIndexOf('\n', at - 1) + 1)
}

/** The last of a node's nodes that has text of its own. */
function lastIn(node: ParsedNode): ParsedNode {
  if (!(isMap(node) || isSeq(node)) || node.flow) return node
  const last = node.items.at(-1)
  if (last === undefined) return node
  return lastIn('key' in last ? (last.value ?? last.key) : last)
}

import { type Document, isMap, isNode, isSeq, stringify, visit } from 'yaml'

/** How a person lays YAML out. */
export interface YamlStyle {
  /** Spaces between a key and the keys below it. */
  readonly indent: number
  /** Spaces between a key and the dash of a list below it; often none. */
  readonly dash: number
}

const MAX_INDENT = 8

/**
 * Looks at the first list and the first mapping in a document.
 *
 * @param where its text, and where that begins in what the nodes' ranges count from
 */
export function styleOf(
  nodes: Document.Parsed,
  { text, offset: base }: { readonly text: string; readonly offset: number },
): YamlStyle {
  let indent: number | undefined
  let dash: number | undefined
  const column = (offset: number) => offset - base - (text.lastIndexOf('\n', offset - base - 1) + 1)
  visit(nodes, {
    Pair(_, { key, value }) {
      const isBlock = (isMap(value) || isSeq(value)) && !value.flow && value.items.length > 0
      if (!isBlock || !isNode(key) || !key.range || !value.range) return
      const steps = column(value.range[0]) - column(key.range[0])
      if (isSeq(value)) dash ??= steps
      else indent ??= steps
    },
  })
  const clamp = (value: number, least: number) => Math.min(Math.max(value, least), MAX_INDENT)
  return { indent: clamp(indent ?? 2, 1), dash: clamp(dash ?? 2, 0) }
}

/** Writes a value as lines, each behind `column` spaces; readers of YAML 1.1 and of 1.2 see the same in it. */
export function blockText(value: unknown, { indent, dash }: YamlStyle, column: number): string {
  const text = stringify(value, { ...COMMON, indent, indentSeq: dash > 0 })
  const margin = ' '.repeat(column)
  return text.replace(/^(?=[^\n])/gm, margin)
}

/** Writes a value so that it can stand inside `[]` or `{}`, on one line. */
export function flowText(value: unknown): string {
  const text = stringify([value], {
    ...COMMON,
    ...{ collectionStyle: 'flow', flowCollectionPadding: false, blockQuote: false },
    doubleQuotedMinMultiLineLength: Number.MAX_SAFE_INTEGER,
  })
  return text.trim().slice(1, -1)
}

const COMMON = { lineWidth: 0, compat: 'yaml-1.1', aliasDuplicateObjects: false } as const

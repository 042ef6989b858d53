import { isDeepStrictEqual } from 'node:util'
import {
  isMap,
  isScalar,
  isSeq,
  type Pair,
  type ParsedNode,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml'
import { isJsonObject, type JsonObject } from '../webhook/json.ts'
import type { ManifestDocument } from './manifest.ts'
import type { TextEdit } from './text-edit.ts'
import { columnOf, lineAfter, lineEnd, rangeOf, type YamlPage } from './yaml-page.ts'
import { blockText, flowText, styleOf } from './yaml-style.ts'

/**
 * Plans how the text of a document becomes that of `after`, where `after` adds to what there is: members and items, and other texts at their
 * places. Everything else stays to the letter: comments, order, quotes, indentation.
 *
 * A plan, not a promise: YAML has more ways than are looked at here (anchors, merge keys), so the caller reads the result again.
 *
 * @returns edits, with offsets in the document's own text; undefined where it takes more than additions
 */
export function planYamlEdits(
  { object, nodes, text, offset }: ManifestDocument,
  after: JsonObject,
): readonly TextEdit[] | undefined {
  const edits: TextEdit[] = []
  const page: YamlPage = { text, offset, style: styleOf(nodes, { text, offset }), edits }
  const complete = plan(page, nodes.contents, object, after)
  return complete ? edits : undefined
}

type Children = YAMLMap<ParsedNode, ParsedNode | null>

function plan(page: YamlPage, node: ParsedNode | null, before: unknown, after: unknown): boolean {
  if (before === after || isDeepStrictEqual(before, after)) return true
  if (isMap<ParsedNode, ParsedNode | null>(node) && isJsonObject(before) && isJsonObject(after)) {
    return planMembers(page, node, before, after)
  }
  if (isSeq<ParsedNode>(node) && Array.isArray(before) && Array.isArray(after)) {
    return planItems(page, node, before, after)
  }
  if (!isScalar(node) || typeof after === 'object') return false
  replaceScalar(page, node, after)
  return true
}

function planMembers(
  page: YamlPage,
  node: Children,
  before: JsonObject,
  after: JsonObject,
): boolean {
  if (Object.keys(before).some((key) => !Object.hasOwn(after, key))) return false
  const added: [string, unknown][] = []
  for (const [key, value] of Object.entries(after)) {
    if (!Object.hasOwn(before, key)) {
      added.push([key, value])
      continue
    }
    if (isDeepStrictEqual(before[key], value)) continue
    const pair = node.items.find((one) => isScalar(one.key) && one.key.value === key)
    if (pair === undefined) return false
    const planned =
      isEmpty(before[key]) && typeof value === 'object'
        ? fillEmpty(page, node, pair, value)
        : plan(page, pair.value, before[key], value)
    if (!planned) return false
  }
  if (added.length === 0) return true
  const last = node.items.at(-1)
  const first = node.items[0]
  if (last === undefined || first === undefined) return false
  if (node.flow) {
    const members = added.map(([key, value]) => `, ${flowMember(key, value)}`)
    insert(page, rangeOf(page, last.value ?? last.key)[1], members.join(''))
    return true
  }
  const column = columnOf(page, first.key)
  const text = blockText(Object.fromEntries(added), page.style, column)
  insert(page, lineAfter(page, last.value ?? last.key), text)
  return true
}

function planItems(
  page: YamlPage,
  node: YAMLSeq<ParsedNode>,
  before: readonly unknown[],
  after: readonly unknown[],
): boolean {
  let at = 0
  const appended: unknown[] = []
  for (const item of after) {
    const present = before[at]
    if (at < before.length && isSame(present, item)) {
      planItem(page, node, at, { before: present, after: item })
      at++
    } else if (at < before.length) {
      if (!insertBefore(page, node, at, item)) return false
    } else appended.push(item)
  }
  if (at < before.length) return false
  if (appended.length === 0) return true
  const last = node.items.at(-1)
  if (last === undefined) return false
  if (node.flow) {
    const items = appended.map((item) => `, ${flowText(item)}`)
    insert(page, rangeOf(page, last)[1], items.join(''))
  } else {
    const text = blockText(appended, page.style, columnOf(page, node))
    insert(page, lineAfter(page, last), text)
  }
  return true
}

/** A variable that refers to another one now has lost a member; it is written anew. */
function planItem(
  page: YamlPage,
  list: YAMLSeq<ParsedNode>,
  index: number,
  { before, after }: { readonly before: unknown; readonly after: unknown },
): void {
  const node = list.items[index]
  const planned = page.edits.length
  if (node === undefined || plan(page, node, before, after)) return
  page.edits.length = planned
  const start = node.range[0] - page.offset
  const text = list.flow
    ? flowText(after)
    : blockText(after, page.style, columnOf(page, node)).trim()
  page.edits.push({ offset: start, remove: rangeOf(page, node)[1] - start, insert: text })
}

/** What stays in its place, perhaps changed within: containers, volumes and variables have names. */
function isSame(before: unknown, after: unknown): boolean {
  if (!isJsonObject(before) || !isJsonObject(after)) return isDeepStrictEqual(before, after)
  const [one, other] = [before, after].map(({ name, kind, metadata }) => {
    return [name, kind, isJsonObject(metadata) ? metadata['name'] : undefined]
  })
  return isDeepStrictEqual(one, other)
}

function insertBefore(
  page: YamlPage,
  node: YAMLSeq<ParsedNode>,
  index: number,
  item: unknown,
): boolean {
  const start = (node.items[index]?.range[0] ?? 0) - page.offset
  if (node.flow) {
    insert(page, start, `${flowText(item)}, `)
    return true
  }
  const line = page.text.lastIndexOf('\n', start - 1) + 1
  // The first dash may stand behind another one, or behind a key's "?".
  if (!/^ *- +$/.test(page.text.slice(line, start))) return false
  insert(page, line, blockText([item], page.style, columnOf(page, node)))
  return true
}

/** `volumes:`, `volumes: null`, `volumes: []` become a list below the key, or within the brackets around. */
function fillEmpty(
  page: YamlPage,
  parent: Children,
  { key, value: node }: Pair<ParsedNode, ParsedNode | null>,
  value: unknown,
): boolean {
  if (node === null) return false
  const [start, end] = [node.range[0] - page.offset, node.range[1] - page.offset]
  if (parent.flow) {
    const space = page.text[start - 1] === ':' ? ' ' : ''
    page.edits.push({ offset: start, remove: end - start, insert: space + flowText(value) })
    return true
  }
  const from = start - (/ *$/.exec(page.text.slice(0, start))?.[0].length ?? 0)
  if (end > start) page.edits.push({ offset: from, remove: end - from, insert: '' })
  const below = Array.isArray(value) ? page.style.dash : page.style.indent
  insert(page, lineEnd(page, end), blockText(value, page.style, columnOf(page, key) + below))
  return true
}

function isEmpty(value: unknown): boolean {
  return (
    value === null ||
    (Array.isArray(value) && value.length === 0) ||
    (isJsonObject(value) && Object.keys(value).length === 0)
  )
}

function replaceScalar(page: YamlPage, node: ParsedNode, value: unknown): void {
  const [start, end] = [node.range[0] - page.offset, node.range[1] - page.offset]
  const lineBreak = page.text.slice(start, end).endsWith('\n') ? '\n' : ''
  page.edits.push({ offset: start, remove: end - start, insert: flowText(value) + lineBreak })
}

function flowMember(key: string, value: unknown): string {
  return flowText({ [key]: value }).slice(1, -1)
}

function insert({ edits }: YamlPage, offset: number, text: string): void {
  edits.push({ offset, remove: 0, insert: text })
}

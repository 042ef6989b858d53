import { isDeepStrictEqual } from 'node:util'
import type { JsonObject } from '../webhook/json.ts'
import { formatManifest, type ManifestDocument, parseManifest } from './manifest.ts'
import { applyEdits } from './text-edit.ts'
import { planYamlEdits } from './yaml-edits.ts'

/**
 * Writes a document anew that has become `after`, with as much of its text as can be kept: all of it, and additions; or, where it is JSON, its
 * indentation; or, where YAML's anchors are in the way, nothing.
 *
 * What is written reads as `after`, whatever it takes.
 */
export function composedText(document: ManifestDocument, after: JsonObject): string {
  if (document.object === after) return document.text
  const json = jsonText(document.text, after)
  if (json !== undefined) return json
  const isWindows = document.text.includes('\r\n')
  const whole = { ...document, text: withLineEnd(document.text) }
  const edits = planYamlEdits(whole, after)
  if (edits !== undefined) {
    const lines = edits.map((edit) =>
      isWindows ? { ...edit, insert: edit.insert.replace(/(?<!\r)\n/g, '\r\n') } : edit,
    )
    const text = applyEdits(whole.text, lines)
    if (readsAs(text, after)) return text
  }
  const marker = /^---(?=\s)/.test(document.text) ? '---\n' : ''
  return marker + formatManifest(after)
}

function withLineEnd(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`
}

function readsAs(text: string, object: JsonObject): boolean {
  const { documents, faults } = parseManifest('composed', text)
  const objects = documents.map((one) => one.object).filter((one) => one !== undefined)
  return faults.length === 0 && objects.length === 1 && isDeepStrictEqual(objects[0], object)
}

function jsonText(text: string, object: JsonObject): string | undefined {
  const marker = /^---\s*\n/.exec(text)?.[0] ?? ''
  const body = text.slice(marker.length)
  if (!body.trimStart().startsWith('{')) return undefined
  try {
    JSON.parse(body)
  } catch {
    // YAML in braces.
    return undefined
  }
  const indent = /^\{\r?\n([ \t]+)"/.exec(body.trimStart())?.[1] ?? ''
  return `${marker}${JSON.stringify(object, undefined, indent)}\n`
}

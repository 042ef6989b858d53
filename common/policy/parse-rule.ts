import {
  type AnnotationValue,
  describe,
  type MappingValue,
  quote,
  readBoolean,
  readText,
} from '../composition/annotation-value.ts'
import { invalidAt } from '../composition/finding.ts'
import { byteCount } from '../flags.ts'
import { fieldOf, findField, readEffect, refuseUnknownFields } from './mapping-field.ts'
import type { PolicyRule } from './policy.ts'
import { parseReferenceGlob, type ReferenceGlob } from './reference-glob.ts'

const MATCH_FIELDS = ['name', 'namespaces', 'references', 'effect'] as const
const ALLOW_FIELDS = [
  'requireDigest',
  'maxBytes',
  'maxFiles',
  'writable',
  'plainHttp',
  'insecureTls',
] as const
const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/
const NAMESPACE = /^[a-z0-9*-]{1,63}$/
/** More than any disk has. */
const MAX_BYTES = 2 ** 50
const MAX_FILES = 1_000_000_000

/** @throws INVALID as {@link parsePolicy} */
export function readRule(value: AnnotationValue): PolicyRule {
  if (value.kind !== 'mapping') {
    throw invalidAt(
      value.place,
      `found ${describe(value)}; expected a rule: "name: ...", "effect: allow"`,
    )
  }
  refuseUnknownFields(value, [...MATCH_FIELDS, ...ALLOW_FIELDS])
  const effect = readEffect(fieldOf(value, 'effect', 'allow'))
  const namespaces = readList(value, 'namespaces', readNamespace)
  const references = readList(value, 'references', readReferenceGlob)
  const match = {
    name: readName(fieldOf(value, 'name', 'my-rule')),
    line: value.place.position?.line ?? 1,
    ...(namespaces && { namespaces }),
    ...(references && { references }),
  }
  if (effect === 'deny') {
    refuseLimits(value)
    return { ...match, effect }
  }
  const maxBytes = readOptional(value, 'maxBytes', readBytes)
  const maxFiles = readOptional(value, 'maxFiles', readFiles)
  return {
    ...match,
    effect,
    requireDigest: readOptional(value, 'requireDigest', readBoolean) ?? false,
    ...(maxBytes !== undefined && { maxBytes }),
    ...(maxFiles !== undefined && { maxFiles }),
    writable: readOptional(value, 'writable', readBoolean) ?? true,
    plainHttp: readOptional(value, 'plainHttp', readBoolean) ?? false,
    insecureTls: readOptional(value, 'insecureTls', readBoolean) ?? false,
  }
}

function refuseLimits({ members }: MappingValue): void {
  for (const { key, place } of members) {
    if (!ALLOW_FIELDS.some((field) => field === key)) continue
    throw invalidAt(
      place,
      `has no meaning in a rule with "effect: deny", which denies whatever matches; expected it in a rule with "effect: allow"`,
    )
  }
}

function readOptional<T>(
  rule: MappingValue,
  name: (typeof ALLOW_FIELDS)[number],
  read: (value: AnnotationValue) => T,
): T | undefined {
  const value = findField(rule, name)
  return value === undefined ? undefined : read(value)
}

function readList<T>(
  rule: MappingValue,
  name: 'namespaces' | 'references',
  read: (value: AnnotationValue) => T,
): readonly T[] | undefined {
  const value = findField(rule, name)
  if (value === undefined) return undefined
  if (value.kind !== 'list') {
    throw invalidAt(value.place, `found ${describe(value)}; expected a list`)
  }
  if (value.items.length === 0) {
    throw invalidAt(value.place, `found an empty list; leave "${name}" out to mean all`)
  }
  return value.items.map(read)
}

function readName(value: AnnotationValue): string {
  const text = readText(value)
  if (NAME.test(text)) return text
  throw invalidAt(
    value.place,
    `found ${quote(text)}; expected up to 63 letters, digits, ".", "_" and "-", beginning and ending with a letter or digit`,
  )
}

function readNamespace(value: AnnotationValue): string {
  const text = readText(value)
  if (NAMESPACE.test(text)) return text
  throw invalidAt(
    value.place,
    `found ${quote(text)}; expected the name of a namespace, or a glob with "*", e.g. "team-*"`,
  )
}

function readReferenceGlob(value: AnnotationValue): ReferenceGlob {
  const found = parseReferenceGlob(readText(value))
  if ('glob' in found) return found.glob
  throw invalidAt(value.place, found.problem)
}

function readBytes(value: AnnotationValue): number {
  const text = value.kind === 'scalar' ? String(value.value) : ''
  try {
    return byteCount(1, MAX_BYTES)(text)
  } catch (cause) {
    const example = 'bytes, as a number and perhaps a unit, e.g. "500M" or "5Gi"'
    throw invalidAt(value.place, `found ${describe(value)}; expected ${example}`, { cause })
  }
}

function readFiles(value: AnnotationValue): number {
  const count = value.kind === 'scalar' ? value.value : undefined
  if (typeof count === 'number' && Number.isInteger(count) && count >= 1 && count <= MAX_FILES) {
    return count
  }
  throw invalidAt(
    value.place,
    `found ${describe(value)}; expected a whole number from 1 to ${MAX_FILES}`,
  )
}

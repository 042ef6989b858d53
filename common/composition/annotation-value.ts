import { invalidAt, type Place } from './finding.ts'

/** What an annotation holds, with the place of everything in it. */
export type AnnotationValue = ScalarValue | ListValue | MappingValue

export interface ScalarValue {
  readonly kind: 'scalar'
  readonly value: string | number | boolean | null
  readonly place: Place
}

export interface ListValue {
  readonly kind: 'list'
  readonly items: readonly AnnotationValue[]
  readonly place: Place
}

export interface MappingValue {
  readonly kind: 'mapping'
  /** In the order written; keys are unique. */
  readonly members: readonly Member[]
  readonly place: Place
}

export interface Member {
  readonly key: string
  /** Where the key stands. */
  readonly place: Place
  readonly value: AnnotationValue
}

/** Names a value for a message: `a list`, `the number 8`, `"text"`, `nothing`. */
export function describe(value: AnnotationValue): string {
  if (value.kind !== 'scalar') return `a ${value.kind}`
  const scalar = value.value
  if (scalar === null) return 'nothing'
  return typeof scalar === 'string' ? quote(scalar) : `the ${typeof scalar} ${scalar}`
}

/** At most this much of what a user wrote is repeated in a message. */
const MAX_QUOTED = 200

/** Writes text as a JSON string, cut to 200 characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text)
}

/** Writes words as a list in a sentence: `"a"`, `"a" or "b"`, `"a", "b" or "c"`. */
export function alternatives(words: readonly string[]): string {
  const quoted = words.map((word) => JSON.stringify(word))
  const last = quoted.at(-1) ?? 'nothing'
  return quoted.length < 2 ? last : `${quoted.slice(0, -1).join(', ')} or ${last}`
}

/**
 * Reads a value as text.
 *
 * @throws INVALID for anything else; a number or boolean is answered with the advice to quote it
 */
export function readText(value: AnnotationValue): string {
  if (value.kind === 'scalar' && typeof value.value === 'string') {
    if (value.value !== '') return value.value
    throw invalidAt(value.place, 'found an empty string; expected text')
  }
  const scalar = value.kind === 'scalar' ? value.value : null
  const advice = scalar === null ? '' : `: put it in quotes, "${scalar}"`
  throw invalidAt(value.place, `found ${describe(value)}; expected text${advice}`)
}

/** @throws INVALID for anything but `true` and `false` */
export function readBoolean(value: AnnotationValue): boolean {
  if (value.kind === 'scalar' && typeof value.value === 'boolean') return value.value
  throw invalidAt(value.place, `found ${describe(value)}; expected true or false, without quotes`)
}

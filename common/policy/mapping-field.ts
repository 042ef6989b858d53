import {
  type AnnotationValue,
  alternatives,
  type MappingValue,
  quote,
  readText,
} from '../composition/annotation-value.ts'
import { invalidAt } from '../composition/finding.ts'
import { didYouMean } from '../suggest.ts'
import type { PolicyEffect } from './policy.ts'

const EFFECTS = ['allow', 'deny'] as const

/** @throws INVALID for a field that is not in `known`, with the nearest one */
export function refuseUnknownFields(mapping: MappingValue, known: readonly string[]): void {
  for (const { key, place } of mapping.members) {
    if (known.includes(key)) continue
    const hint = didYouMean(key, known) || `; expected ${alternatives(known)}`
    throw invalidAt(place, `unknown field ${quote(key)}${hint}`)
  }
}

export function findField({ members }: MappingValue, name: string): AnnotationValue | undefined {
  return members.find(({ key }) => key === name)?.value
}

/** @throws INVALID when there is none, showing what could stand there */
export function fieldOf(mapping: MappingValue, name: string, example: string): AnnotationValue {
  const value = findField(mapping, name)
  if (value !== undefined) return value
  throw invalidAt(mapping.place, `has no "${name}"; expected e.g. "${name}: ${example}"`)
}

export function readEffect(value: AnnotationValue): PolicyEffect {
  return readWord(value, EFFECTS)
}

/** @throws INVALID with the nearest of `words` */
export function readWord<const T extends string>(value: AnnotationValue, words: readonly T[]): T {
  const text = readText(value)
  const word = words.find((candidate) => candidate === text)
  if (word !== undefined) return word
  const hint = words.length > 1 ? didYouMean(text, words) : ''
  throw invalidAt(value.place, `found ${quote(text)}; expected ${alternatives(words)}${hint}`)
}

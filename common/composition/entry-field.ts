import type { Platform } from '../oci/descriptor.ts'
import { parsePlatform } from '../oci/platform.ts'
import { formatReference, parseReference, type Reference } from '../oci/reference.ts'
import { didYouMean } from '../suggest.ts'
import {
  type AnnotationValue,
  alternatives,
  describe,
  type Member,
  quote,
  readBoolean,
  readText,
} from './annotation-value.ts'
import type { ContainerSelector, Entry, Modes, PullPolicy, Unpack } from './composition.ts'
import { parseContainerSelector, SELECTOR_FORMS } from './container-selector.ts'
import { readEnv } from './env-field.ts'
import { mountPathProblem, subPathProblem } from './file-path.ts'
import { collectFindings, invalidAt } from './finding.ts'
import { entryNameProblem, secretNameProblem } from './object-name.ts'
import { parsePullPolicy, pullPolicyProblem } from './pull-policy.ts'
import { readSelection } from './select-field.ts'
import { modesProblem, parseModes, parseUnpack, unpackProblem } from './selection.ts'

/** An entry while its fields are read. */
export type EntryDraft = { -readonly [K in keyof Entry]?: Entry[K] }

type FieldName = Exclude<keyof Entry, 'place'>

/** How each field of an entry is read. To add one: put it into `Entry` and here. */
const READERS: { readonly [K in FieldName]-?: (value: AnnotationValue) => Entry[K] } = {
  reference: readReference,
  mountPath: checkedText(mountPathProblem),
  name: checkedText(entryNameProblem),
  containers: readContainers,
  subPath: checkedText(subPathProblem),
  path: readVolumePath,
  select: readSelection,
  unpack: readUnpack,
  platform: readPlatform,
  modes: readModes,
  pullPolicy: readPullPolicy,
  pullSecret: readPullSecret,
  readOnly: readBoolean,
  env: readEnv,
}

const FIELDS = new Map(
  Object.entries(READERS).map(([name, read]) => [
    name,
    (draft: EntryDraft, value: AnnotationValue) => {
      const field = read(value)
      if (field !== undefined) Object.assign(draft, { [name]: field })
    },
  ]),
)

/** The names of an entry's fields, for messages. */
export const FIELD_NAMES: readonly string[] = [...FIELDS.keys()]

/**
 * Reads one `field: value` of an entry into `draft`.
 *
 * @throws INVALID for an unknown field (with the nearest one) or a wrong value
 */
export function readEntryField(draft: EntryDraft, member: Member): void {
  const read = FIELDS.get(member.key)
  if (read !== undefined) {
    read(draft, member.value)
    return
  }
  const hint = didYouMean(member.key, FIELD_NAMES)
  throw invalidAt(
    member.place,
    `unknown field ${quote(member.key)}${hint || `; expected ${alternatives(FIELD_NAMES)}`}`,
  )
}

/**
 * Reads the reference of an artifact, which must have a tag or digest here.
 *
 * @throws INVALID showing the corrected reference where there is one
 */
export function readReference(value: AnnotationValue): Reference {
  const text = readText(value)
  refuseBareName(value, text)
  const reference = parsed(value, text, parseReference)
  if (reference.tag !== undefined || reference.digest !== undefined) return reference
  const corrected = formatReference({ ...reference, tag: 'latest' })
  throw invalidAt(
    value.place,
    `reference ${quote(text)} has neither tag nor digest; expected e.g. ${quote(corrected)}`,
  )
}

/** `redis`: the parser's advice would lack a tag, and be refused again. */
function refuseBareName(value: AnnotationValue, text: string): void {
  if (!/^[a-z0-9._-]+$/.test(text)) return
  throw invalidAt(
    value.place,
    `invalid reference ${quote(text)}: no registry, and neither tag nor digest; expected registry/repository:tag, e.g. "docker.io/library/${text}:latest"`,
  )
}

function parsed<T>(value: AnnotationValue, text: string, parse: (text: string) => T): T {
  try {
    return parse(text)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw invalidAt(value.place, message.replace(/^Invalid/, 'invalid'), { cause })
  }
}

/** Reads the containers an entry is mounted in: a list, or the items of the pod-wide annotation. */
export function readContainers(value: AnnotationValue): readonly ContainerSelector[] {
  if (value.kind !== 'list') {
    throw invalidAt(value.place, `found ${describe(value)}; expected a list, e.g. ["app"]`)
  }
  if (value.items.length === 0) {
    throw invalidAt(value.place, 'found an empty list; leave it away to mean every container')
  }
  const collector = collectFindings()
  const selectors = value.items.map((item) => collector.attempt(() => readContainer(item)))
  collector.finish()
  return selectors.filter((selector) => selector !== undefined)
}

function readContainer(item: AnnotationValue): ContainerSelector {
  const text = readText(item)
  const selector = parseContainerSelector(text)
  if (selector !== undefined) return { ...selector, place: item.place }
  throw invalidAt(item.place, `found ${quote(text)}; expected ${SELECTOR_FORMS}`)
}

/** @throws INVALID with the nearest policy */
export function readPullPolicy(value: AnnotationValue): PullPolicy {
  const text = readText(value)
  const policy = parsePullPolicy(text)
  if (policy !== undefined) return policy
  throw invalidAt(value.place, pullPolicyProblem(text))
}

/** Reads the name of a secret; empty means none. */
export function readPullSecret(value: AnnotationValue): string {
  if (value.kind === 'scalar' && value.value === '') return ''
  return checkedText(secretNameProblem)(value)
}

/** Reads the directory of the volume that an artifact is placed in; `/` is where it is placed anyway. */
function readVolumePath(value: AnnotationValue): string | undefined {
  const path = readText(value)
  return path === '/' ? undefined : checkedText(subPathProblem)(value)
}

function readUnpack(value: AnnotationValue): Unpack {
  const text = readText(value)
  const unpack = parseUnpack(text)
  if (unpack !== undefined) return unpack
  throw invalidAt(value.place, unpackProblem(text))
}

function readModes(value: AnnotationValue): Modes {
  const text = readText(value)
  const modes = parseModes(text)
  if (modes !== undefined) return modes
  throw invalidAt(value.place, modesProblem(text))
}

function readPlatform(value: AnnotationValue): Platform {
  return parsed(value, readText(value), parsePlatform)
}

function checkedText(problemOf: (text: string) => string | undefined) {
  return (value: AnnotationValue): string => {
    const text = readText(value)
    const problem = problemOf(text)
    if (problem === undefined) return text
    throw invalidAt(value.place, problem)
  }
}

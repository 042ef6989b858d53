import { formatReference } from '../oci/reference.ts'
import { didYouMean } from '../suggest.ts'
import { type AnnotationValue, alternatives, type ListValue, quote } from './annotation-value.ts'
import {
  ANNOTATION_PREFIX,
  ANNOTATIONS,
  type Composition,
  type Entry,
  LIMITS,
} from './composition.ts'
import { readContainers, readPullPolicy, readPullSecret } from './entry-field.ts'
import { parseEntryList } from './entry-list.ts'
import {
  collectFindings,
  type FindingCollector,
  faultAt,
  invalidAt,
  type Notice,
  type Place,
  warningAt,
} from './finding.ts'
import { findUnprintable } from './printable-text.ts'

/** What a user may write; the status is the webhook's. */
const WRITABLE = [
  ANNOTATIONS.artifacts,
  ANNOTATIONS.pullSecret,
  ANNOTATIONS.pullPolicy,
  ANNOTATIONS.containers,
]

/**
 * Reads what a pod's annotations ask for, strictly; the pod-wide annotations are worked into the entries.
 *
 * Without `oras.land/artifacts` there are no entries, and other `oras.land/` annotations give warnings; an unknown one beside a
 * known one is refused always, so that no typo passes silently.
 *
 * @param annotations all annotations of the pod; those of others are passed over
 * @throws INVALID, a {@link CompositionError} naming of everything that is wrong the annotation, the place in it, what was found, what was expected
 *   and the nearest valid name
 */
export function parseAnnotations(annotations: Readonly<Record<string, string>>): Composition {
  const ours = Object.keys(annotations).filter(
    (key) => key.startsWith(ANNOTATION_PREFIX) && key !== ANNOTATIONS.status,
  )
  const collector = collectFindings()
  if (ours.some(isKnown)) {
    for (const key of ours) collector.attempt(() => checkKey(key))
  }
  const artifacts = annotations[ANNOTATIONS.artifacts]
  if (artifacts === undefined || !ours.includes(ANNOTATIONS.artifacts)) {
    collector.finish()
    return { entries: [], warnings: ours.map(withoutArtifacts) }
  }
  // Before anything is parsed.
  checkSize(ours.map((key) => annotations[key] ?? ''))
  const defaults = readDefaults(annotations, collector)
  const entries = collector.attempt(() => parseEntryList(artifacts)) ?? []
  collector.finish()
  return {
    entries: entries.map((entry) => ({ ...defaults, ...entry })),
    warnings: entries.flatMap(hostWarning),
  }
}

type Defaults = Pick<Entry, 'pullSecret' | 'pullPolicy' | 'containers'>

function readDefaults(
  annotations: Readonly<Record<string, string>>,
  { attempt }: FindingCollector,
): Defaults {
  const read = <T>(key: string, readValue: (text: string) => T): T | undefined => {
    const text = annotations[key]
    return text === undefined ? undefined : attempt(() => readValue(text))
  }
  const { pullSecret, pullPolicy, containers } = ANNOTATIONS
  const secret = read(pullSecret, (text) => readPullSecret(textOf(pullSecret, text)))
  const policy = read(pullPolicy, (text) => readPullPolicy(textOf(pullPolicy, text)))
  const selectors = read(containers, (text) => readContainers(listOf(containers, text)))
  return {
    ...(secret !== undefined && { pullSecret: secret }),
    ...(policy !== undefined && { pullPolicy: policy }),
    ...(selectors !== undefined && { containers: selectors }),
  }
}

/** The place of an annotation as a whole. */
function placeOf(annotation: string): Place {
  return { path: annotation, annotation }
}

function textOf(annotation: string, value: string): AnnotationValue {
  const unprintable = findUnprintable(value)
  const place = placeOf(annotation)
  if (unprintable === undefined) return { kind: 'scalar', value, place }
  throw invalidAt(
    place,
    `found the control or invisible character ${unprintable.name}; not allowed`,
  )
}

function listOf(annotation: string, value: string): ListValue {
  const items = value.split(',').map((item) => textOf(annotation, item.trim()))
  return { kind: 'list', items, place: placeOf(annotation) }
}

function isKnown(key: string): boolean {
  return WRITABLE.some((known) => known === key)
}

function checkKey(key: string): void {
  if (isKnown(key)) return
  throw faultAt('INVALID', placeOf(key), `Unknown annotation ${quote(key)}${hint(key)}`)
}

function withoutArtifacts(key: string): Notice {
  return warningAt(
    placeOf(key),
    isKnown(key)
      ? `${key} has no effect without ${ANNOTATIONS.artifacts}`
      : `Unknown annotation ${quote(key)}${hint(key)}`,
  )
}

/** Compares what stands after the prefix: the prefix alone would make any two keys alike. */
function hint(key: string): string {
  const suffixes = WRITABLE.map((known) => known.slice(ANNOTATION_PREFIX.length))
  const near = didYouMean(key.slice(ANNOTATION_PREFIX.length), suffixes)
  if (near === '') return `; expected ${alternatives(WRITABLE)}`
  return near.replace('"', `"${ANNOTATION_PREFIX}`)
}

function checkSize(values: readonly string[]): void {
  const bytes = values.reduce((sum, value) => sum + Buffer.byteLength(value), 0)
  if (bytes <= LIMITS.annotationBytes) return
  throw faultAt(
    'INVALID',
    placeOf(ANNOTATIONS.artifacts),
    `The ${ANNOTATION_PREFIX} annotations have ${bytes} bytes; expected at most ${LIMITS.annotationBytes}`,
  )
}

/** In-cluster registries do have names without a dot; most people who write one mean Docker Hub. */
function hostWarning({ reference, place }: Entry): readonly Notice[] {
  const { registry } = reference
  if (/[.:]/.test(registry) || registry === 'localhost') return []
  const text = formatReference(reference)
  return [
    warningAt(place, `"${registry}" in "${text}" is a host; "docker.io/${text}" may be meant`),
  ]
}

import { CodedError } from '../errors.ts'
import { formatReference } from '../oci/reference.ts'
import { didYouMean } from '../suggest.ts'
import {
  type AnnotationValue,
  alternatives,
  invalidAt,
  type ListValue,
  quote,
} from './annotation-value.ts'
import {
  ANNOTATION_PREFIX,
  ANNOTATIONS,
  type Composition,
  type Entry,
  LIMITS,
} from './composition.ts'
import { readContainers, readPullPolicy, readPullSecret } from './entry-field.ts'
import { parseEntryList } from './entry-list.ts'
import { findUnprintable } from './printable-text.ts'
import { warning } from './warning.ts'

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
 * Without `oras.land/artifacts` there are no entries, and other `oras.land/` annotations give warnings.
 *
 * @param annotations all annotations of the pod; those of others are passed over
 * @throws INVALID naming the annotation, the place in it, what was found, what was expected and the nearest valid name
 */
export function parseAnnotations(annotations: Readonly<Record<string, string>>): Composition {
  const ours = Object.keys(annotations).filter(
    (key) => key.startsWith(ANNOTATION_PREFIX) && key !== ANNOTATIONS.status,
  )
  const artifacts = annotations[ANNOTATIONS.artifacts]
  if (artifacts === undefined || !ours.includes(ANNOTATIONS.artifacts)) {
    return { entries: [], warnings: ours.map(withoutArtifacts) }
  }
  for (const key of ours) checkKey(key)
  checkSize(ours.map((key) => annotations[key] ?? ''))
  const defaults = readDefaults(annotations)
  const entries = parseEntryList(artifacts).map((entry) => ({ ...defaults, ...entry }))
  return { entries, warnings: entries.flatMap(hostWarning) }
}

type Defaults = Pick<Entry, 'pullSecret' | 'pullPolicy' | 'containers'>

function readDefaults(annotations: Readonly<Record<string, string>>): Defaults {
  const secret = annotations[ANNOTATIONS.pullSecret]
  const policy = annotations[ANNOTATIONS.pullPolicy]
  const containers = annotations[ANNOTATIONS.containers]
  return {
    ...(secret !== undefined && {
      pullSecret: readPullSecret(textOf(ANNOTATIONS.pullSecret, secret)),
    }),
    ...(policy !== undefined && {
      pullPolicy: readPullPolicy(textOf(ANNOTATIONS.pullPolicy, policy)),
    }),
    ...(containers !== undefined && {
      containers: readContainers(listOf(ANNOTATIONS.containers, containers)),
    }),
  }
}

function textOf(path: string, value: string): AnnotationValue {
  const unprintable = findUnprintable(value)
  if (unprintable === undefined) return { kind: 'scalar', value, place: { path } }
  throw invalidAt(
    { path },
    `found the control or invisible character ${unprintable.name}; not allowed`,
  )
}

function listOf(path: string, value: string): ListValue {
  const items = value.split(',').map((item) => textOf(path, item.trim()))
  return { kind: 'list', items, place: { path } }
}

function checkKey(key: string): void {
  if (WRITABLE.some((known) => known === key)) return
  throw new CodedError('INVALID', `Unknown annotation ${quote(key)}${hint(key)}`)
}

function withoutArtifacts(key: string): string {
  return WRITABLE.some((known) => known === key)
    ? warning(`${key} has no effect without ${ANNOTATIONS.artifacts}`)
    : warning(`Unknown annotation ${quote(key)}${hint(key)}`)
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
  throw new CodedError(
    'INVALID',
    `The ${ANNOTATION_PREFIX} annotations have ${bytes} bytes; expected at most ${LIMITS.annotationBytes}`,
  )
}

/** In-cluster registries do have names without a dot; most people who write one mean Docker Hub. */
function hostWarning({ reference }: Entry): readonly string[] {
  const { registry } = reference
  if (/[.:]/.test(registry) || registry === 'localhost') return []
  const text = formatReference(reference)
  return [warning(`"${registry}" in "${text}" is a host; "docker.io/${text}" may be meant`)]
}

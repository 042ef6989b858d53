import { parseAnnotationDocument } from './annotation-document.ts'
import {
  type AnnotationValue,
  describe,
  invalidAt,
  type ListValue,
  type MappingValue,
  type Member,
  type Place,
  quote,
} from './annotation-value.ts'
import { ANNOTATIONS, type Entry, LIMITS } from './composition.ts'
import { type EntryDraft, FIELD_NAMES, readEntryField, readReference } from './entry-field.ts'
import { mountPathProblem } from './file-path.ts'

const EXAMPLE = '"/app: ghcr.io/acme/app:v1"'

/**
 * Reads the value of `oras.land/artifacts` in either form: a mapping from mount path to artifact, or a list of entries.
 *
 * @throws INVALID with the place, what was found, and what was expected
 */
export function parseEntryList(text: string): readonly Entry[] {
  const name = ANNOTATIONS.artifacts
  const document = parseAnnotationDocument(name, text)
  if (document === undefined) {
    throw invalidAt({ path: name }, `found nothing; expected e.g. ${EXAMPLE}`)
  }
  const entries = readRoot(document)
  if (entries.length === 0) {
    throw invalidAt(
      document.place,
      `found an empty ${document.kind}; expected at least one artifact, e.g. ${EXAMPLE}`,
    )
  }
  return entries
}

function readRoot(document: AnnotationValue): readonly Entry[] {
  switch (document.kind) {
    case 'mapping':
      checkCount(countOf(document), document.place)
      return readShortForm(document)
    case 'list':
      checkCount(document.items.length, document.place)
      return readLongForm(document)
    case 'scalar':
      throw invalidAt(
        document.place,
        `found ${describe(document)}; expected a mount path, a colon, a space and a reference, e.g. ${EXAMPLE}`,
      )
  }
}

/** Several artifacts may share a mount path. */
function countOf({ members }: MappingValue): number {
  return members.reduce(
    (count, { value }) => count + (value.kind === 'list' ? value.items.length : 1),
    0,
  )
}

function checkCount(count: number, place: Place): void {
  if (count <= LIMITS.entriesPerPod) return
  throw invalidAt(
    place,
    `found ${count} artifacts; expected at most ${LIMITS.entriesPerPod} in a pod`,
  )
}

function readShortForm(mapping: MappingValue): readonly Entry[] {
  return mapping.members.flatMap((member) => {
    const mountPath = readMountPathKey(member)
    const { value } = member
    if (value.kind !== 'list') return [readMounted(value, member.place, mountPath)]
    if (value.items.length === 0) {
      throw invalidAt(value.place, 'found an empty list; expected at least one artifact')
    }
    return value.items.map((item) => readMounted(item, item.place, mountPath))
  })
}

/** Reads what is mounted at a path: a reference, or an entry with options. */
function readMounted(value: AnnotationValue, { path: place }: Place, mountPath: string): Entry {
  if (value.kind !== 'mapping') {
    return { place, mountPath, reference: readReference(value), ...DEFAULTS }
  }
  const inner = value.members.find(({ key }) => key === 'mountPath')
  if (inner !== undefined) {
    throw invalidAt(
      inner.place,
      `the mount path is ${quote(mountPath)} already; leave it away here`,
    )
  }
  return readEntry(value, { place, mountPath })
}

function readMountPathKey({ key, place }: Member): string {
  if (FIELD_NAMES.includes(key)) {
    throw invalidAt(
      place,
      `"${key}" is a field of an entry; expected a mount path, e.g. ${EXAMPLE}, or a list of entries, each starting with "- "`,
    )
  }
  const problem = mountPathProblem(key)
  if (problem !== undefined) throw invalidAt(place, problem)
  return key
}

function readLongForm(list: ListValue): readonly Entry[] {
  return list.items.map((item) => {
    if (item.kind === 'mapping') return readEntry(item, { place: item.place.path })
    throw invalidAt(
      item.place,
      `found ${describe(item)}; expected an entry with "reference" and "mountPath"`,
    )
  })
}

const DEFAULTS = { readOnly: true }

function readEntry(mapping: MappingValue, known: EntryDraft & { readonly place: string }): Entry {
  const draft: EntryDraft = { ...DEFAULTS, ...known }
  for (const member of mapping.members) readEntryField(draft, member)
  const { reference, mountPath } = draft
  if (reference === undefined) {
    throw invalidAt(mapping.place, 'missing "reference"; expected e.g. "ghcr.io/acme/app:v1"')
  }
  if (mountPath === undefined) {
    throw invalidAt(mapping.place, 'missing "mountPath"; expected e.g. "/app"')
  }
  return { ...DEFAULTS, ...draft, place: known.place, reference, mountPath }
}

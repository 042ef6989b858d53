import { parseAnnotationDocument } from './annotation-document.ts'
import {
  type AnnotationValue,
  describe,
  type ListValue,
  type MappingValue,
  type Member,
  quote,
} from './annotation-value.ts'
import { ANNOTATIONS, type Entry, LIMITS } from './composition.ts'
import { type EntryDraft, FIELD_NAMES, readEntryField, readReference } from './entry-field.ts'
import { mountPathProblem } from './file-path.ts'
import {
  CompositionError,
  collectFindings,
  type FindingCollector,
  invalidAt,
  type Place,
} from './finding.ts'

const EXAMPLE = '"/app: ghcr.io/acme/app:v1"'

/**
 * Reads the value of `oras.land/artifacts` in either form: a mapping from mount path to artifact, or a list of entries.
 *
 * @throws INVALID with the place of everything that is wrong, what was found, and what was expected
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
  return readAll((read) => {
    for (const member of mapping.members) {
      // What is mounted at a wrong path is read all the same, for what is wrong with it.
      const mountPath = read.step(() => readMountPathKey(member)) ?? member.key
      if (FIELD_NAMES.includes(member.key)) continue
      const { value } = member
      if (value.kind !== 'list') {
        read.entry((entry) => readMounted(value, { ...member.place, entry }, mountPath))
        continue
      }
      if (value.items.length === 0) {
        read.step(() => {
          throw invalidAt(value.place, 'found an empty list; expected at least one artifact')
        })
      }
      for (const item of value.items) {
        read.entry((entry) => readMounted(item, { ...item.place, entry }, mountPath))
      }
    }
  })
}

/** How the entries of an annotation are read one by one: all of them, whatever is wrong with one. */
interface EntryReader {
  readonly step: FindingCollector['attempt']
  /** @param read is given the number of the entry, from 0 */
  entry(read: (entry: number) => Entry): void
}

function readAll(read: (reader: EntryReader) => void): readonly Entry[] {
  const collector = collectFindings()
  const entries: (Entry | undefined)[] = []
  read({
    step: collector.attempt,
    entry(readOne) {
      const index = entries.length
      entries.push(collector.attempt(() => numbered(index, readOne)))
    },
  })
  collector.finish()
  return entries.filter((entry) => entry !== undefined)
}

/** Says of everything that is wrong with an entry which one it is. */
function numbered(entry: number, read: (entry: number) => Entry): Entry {
  try {
    return withNumber(entry, read(entry))
  } catch (error) {
    if (!(error instanceof CompositionError)) throw error
    const [first, ...others] = error.findings.map((finding) => ({ ...finding, entry }))
    if (first === undefined) throw error
    throw new CompositionError(first, others, { cause: error.cause })
  }
}

/** What is in an entry may turn out wrong when it meets a pod. */
function withNumber(entry: number, { containers, env, ...rest }: Entry): Entry {
  const numberOf = <T extends { readonly place?: Place }>(part: T): T =>
    part.place === undefined ? part : { ...part, place: { ...part.place, entry } }
  return {
    ...rest,
    ...(containers !== undefined && { containers: containers.map(numberOf) }),
    ...(env !== undefined && { env: env.map(numberOf) }),
  }
}

/** Reads what is mounted at a path: a reference, or an entry with options. */
function readMounted(value: AnnotationValue, place: Place, mountPath: string): Entry {
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
  return readAll((read) => {
    for (const item of list.items) {
      read.entry((entry) => readEntry(item, { place: { ...item.place, entry } }))
    }
  })
}

const DEFAULTS = { readOnly: true }

function readEntry(value: AnnotationValue, known: EntryDraft & { readonly place: Place }): Entry {
  if (value.kind !== 'mapping') {
    throw invalidAt(
      value.place,
      `found ${describe(value)}; expected an entry with "reference" and "mountPath"`,
    )
  }
  const draft: EntryDraft = { ...DEFAULTS, ...known }
  const collector = collectFindings()
  for (const member of value.members) collector.attempt(() => readEntryField(draft, member))
  // Before what is missing: that may be what could not be read.
  collector.finish()
  const { reference, mountPath } = draft
  if (reference === undefined) {
    throw invalidAt(value.place, 'missing "reference"; expected e.g. "ghcr.io/acme/app:v1"')
  }
  if (mountPath === undefined) {
    throw invalidAt(value.place, 'missing "mountPath"; expected e.g. "/app"')
  }
  return { ...DEFAULTS, ...draft, place: known.place, reference, mountPath }
}

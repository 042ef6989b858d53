import { formatPlatform } from '../oci/platform.ts'
import { formatReference } from '../oci/reference.ts'
import { didYouMean } from '../suggest.ts'
import { parseAnnotationDocument } from './annotation-document.ts'
import { type AnnotationValue, alternatives, describe, quote } from './annotation-value.ts'
import { LIMITS, type Source, sourceOf } from './composition.ts'
import { type EntryDraft, readEntryField } from './entry-field.ts'
import { invalidAt } from './finding.ts'

/** How each field of a source is written. To add one: put it into `Source` and here. */
const WRITERS: { readonly [K in keyof Source]-?: (source: Source) => unknown } = {
  reference: ({ reference }) => formatReference(reference),
  pullPolicy: ({ pullPolicy }) => pullPolicy,
  select: ({ select }) => select,
  path: ({ path }) => path,
  platform: ({ platform }) => platform && formatPlatform(platform),
  unpack: ({ unpack }) => unpack,
  modes: ({ modes }) => modes,
}

const FIELD_NAMES = Object.keys(WRITERS)

/** Writes sources as a JSON array of objects with the fields of an entry; {@link parseSourceList} reads it back equal. */
export function formatSourceList(sources: readonly Source[]): string {
  return JSON.stringify(
    sources.map((source) =>
      Object.fromEntries(Object.entries(WRITERS).map(([name, write]) => [name, write(source)])),
    ),
  )
}

/**
 * Reads a JSON array of sources, as strictly as an annotation: `[{"reference":"ghcr.io/acme/a:1"},{"reference":"ghcr.io/acme/b:2","path":"lib"}]`.
 *
 * @param name what messages call it, e.g. `oras.sources`
 * @throws INVALID with the place, what was found and what was expected; for an unknown field the nearest
 */
export function parseSourceList(name: string, text: string): readonly Source[] {
  checkJson(name, text)
  const list = parseAnnotationDocument(name, text)
  if (list?.kind !== 'list') {
    const found = list === undefined ? 'nothing' : describe(list)
    throw invalidAt({ path: name }, `found ${found}; expected a JSON array of sources`)
  }
  const count = list.items.length
  if (count === 0 || count > LIMITS.sourcesPerVolume) {
    throw invalidAt(
      list.place,
      `found ${count} sources; expected 1 to ${LIMITS.sourcesPerVolume} in a volume`,
    )
  }
  return list.items.map(readSource)
}

function readSource(value: AnnotationValue): Source {
  if (value.kind !== 'mapping') {
    throw invalidAt(
      value.place,
      `found ${describe(value)}; expected an object, e.g. {"reference": "ghcr.io/acme/app:v1"}`,
    )
  }
  const draft: EntryDraft = {}
  for (const member of value.members) {
    if (!FIELD_NAMES.includes(member.key)) {
      const hint = didYouMean(member.key, FIELD_NAMES) || `; expected ${alternatives(FIELD_NAMES)}`
      throw invalidAt(member.place, `unknown field ${quote(member.key)}${hint}`)
    }
    readEntryField(draft, member)
  }
  const { reference } = draft
  if (reference === undefined) {
    throw invalidAt(value.place, 'missing "reference"; expected e.g. "ghcr.io/acme/app:v1"')
  }
  return sourceOf({ ...draft, reference })
}

/** The reader of annotations takes YAML too, which others who read the attribute need not know. */
function checkJson(name: string, text: string): void {
  try {
    JSON.parse(text)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw invalidAt({ path: name }, `expected a JSON array: ${why}`, { cause })
  }
}

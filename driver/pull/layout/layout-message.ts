import type { Selection } from '../../../common/composition/composition.ts'
import { CodedError } from '../../../common/errors.ts'
import type { Descriptor } from '../../../common/oci/descriptor.ts'
import type { ImageManifest } from '../../../common/oci/manifest.ts'
import { didYouMean } from '../../../common/suggest.ts'
import { lastName } from '../tree/tree-path.ts'
import type { SelectionField } from './layer-selection.ts'
import { titleOf } from './layout-step.ts'

/** How many layers or files a message lists. */
const MAX_LISTED = 20

/** Makes the error for a manifest without content. */
export function nothingToMount({ layers, config }: ImageManifest): CodedError {
  const found =
    layers.length === 0
      ? `the manifest has no layers, only the config ${config === undefined ? '(none)' : describe(config)}`
      : `the manifest has only ${listed(layers.map(describe))}`
  return new CodedError(
    'INVALID',
    `Nothing to mount: ${found}; expected at least one layer with content`,
  )
}

/**
 * Makes the error for a selection that no layer passes: an empty volume is never a success.
 *
 * @param field the part of the selection that the last layers did not pass
 * @param candidates the layers that passed the parts before it; at least one
 * @param everything whether those are all that the manifest has
 */
export function nothingSelected(
  select: Selection,
  field: SelectionField,
  candidates: readonly Descriptor[],
  everything: boolean,
): CodedError {
  const keys = field === 'annotations' ? Object.keys(select.annotations ?? {}) : []
  const there = listed(candidates.map((layer) => describeTitled(layer, keys)))
  const where = everything ? 'the manifest has' : 'the other parts of the selection leave'
  const hint = hintFor(select, field, candidates)
  return new CodedError(
    'INVALID',
    `Nothing selected: ${field} ${globsOf(select, field)} match nothing; ${where} ${there}${hint}`,
  )
}

/**
 * Makes the error for file globs that match nothing in a tree whose archives they might have matched something in.
 *
 * @param paths some or all of what the tree has
 */
export function nothingSelectedInTree(
  files: readonly string[],
  paths: readonly string[],
): CodedError {
  const there = listed(paths.map(quote))
  return new CodedError(
    'INVALID',
    `Nothing selected: files ${listed(files.map(quote))} match nothing; the artifact has ${there}${hintForFiles(files, paths)}`,
  )
}

function globsOf(select: Selection, field: SelectionField): string {
  if (field !== 'annotations') return listed((select[field] ?? []).map(quote))
  const pairs = Object.entries(select.annotations ?? {})
  return listed(pairs.map(([key, globs]) => `${quote(key)}=${globs.map(quote).join('|')}`))
}

/** The nearest of what there is to something that was asked for. */
function hintFor(
  select: Selection,
  field: SelectionField,
  candidates: readonly Descriptor[],
): string {
  switch (field) {
    case 'mediaTypes':
      return firstHint(
        select.mediaTypes ?? [],
        candidates.map(({ mediaType }) => mediaType),
      )
    case 'files':
      return hintForFiles(
        select.files ?? [],
        candidates.map(titleOf).filter((title) => title !== undefined),
      )
    case 'annotations': {
      const wanted = Object.entries(select.annotations ?? {})
      const known = candidates.flatMap(({ annotations }) => Object.keys(annotations))
      const unknown = wanted.map(([key]) => key).filter((key) => !known.includes(key))
      if (unknown.length > 0) return firstHint(unknown, known)
      const values = wanted.map(([key, globs]) =>
        firstHint(
          globs,
          candidates.map(({ annotations }) => annotations[key] ?? ''),
        ),
      )
      return values.find((hint) => hint !== '') ?? ''
    }
  }
}

function hintForFiles(globs: readonly string[], paths: readonly string[]): string {
  const wanted = globs
    .filter((glob) => !glob.startsWith('!'))
    .map((glob) => glob.replace(/^\//, ''))
  return firstHint(wanted, [...paths, ...paths.map(lastName)])
}

function firstHint(words: readonly string[], candidates: readonly string[]): string {
  const known = [...new Set(candidates)].filter((candidate) => candidate.length <= MAX_SHOWN)
  for (const word of words) {
    const hint = didYouMean(word, known)
    if (hint !== '') return hint
  }
  return ''
}

function describe({ mediaType, digest, size }: Descriptor): string {
  return `${quote(mediaType)} (${digest}, ${size} bytes)`
}

function describeTitled(layer: Descriptor, keys: readonly string[]): string {
  const title = titleOf(layer)
  const facts = [layer.mediaType, `${layer.size} bytes`]
  for (const key of keys) {
    const value = layer.annotations[key]
    if (value !== undefined) facts.push(`${key}=${quote(value)}`)
  }
  return `${title === undefined ? layer.digest : quote(title)} (${facts.join(', ')})`
}

function listed(items: readonly string[]): string {
  const more = items.length > MAX_LISTED ? `, and ${items.length - MAX_LISTED} more` : ''
  return items.slice(0, MAX_LISTED).join(', ') + more
}

const MAX_SHOWN = 200

function quote(text: string): string {
  return JSON.stringify(text.slice(0, MAX_SHOWN))
}

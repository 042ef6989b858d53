import { isMediaType } from '../oci/media-types.ts'
import { didYouMean } from '../suggest.ts'
import { alternatives, quote } from './annotation-value.ts'
import { LIMITS, type Modes, type Selection, type Unpack } from './composition.ts'

const UNPACK: readonly Unpack[] = ['auto', 'always', 'never']
const MODES: readonly Modes[] = ['readable', 'keep']

/** @returns undefined when `text` is none of the words for unpacking */
export function parseUnpack(text: string): Unpack | undefined {
  return UNPACK.find((word) => word === text)
}

/** Completes "Invalid ...: " for text that {@link parseUnpack} does not know. */
export function unpackProblem(text: string): string {
  return wordProblem(text, UNPACK)
}

/** @returns undefined when `text` is none of the words for modes */
export function parseModes(text: string): Modes | undefined {
  return MODES.find((word) => word === text)
}

/** Completes "Invalid ...: " for text that {@link parseModes} does not know. */
export function modesProblem(text: string): string {
  return wordProblem(text, MODES)
}

/**
 * Says what is wrong with the media type of a selection.
 *
 * @returns text that completes "Invalid ...: ", or undefined for a good one such as `text/plain` or `application/vnd.acme.*`
 */
export function mediaTypeGlobProblem(glob: string): string | undefined {
  if (glob.length > LIMITS.globLength) return tooLong(glob)
  const found = `found ${quote(glob)}`
  if (!glob.includes('*')) {
    if (isMediaType(glob)) return undefined
    return `${found}; expected a media type, e.g. "text/plain", or with "*", e.g. "text/*"`
  }
  // What a media type can be made of, with at most one slash; "*" may stand for the slash too.
  if (/^[A-Za-z0-9!#$&^_.+*-]*(?:\/[A-Za-z0-9!#$&^_.+*-]*)?$/.test(glob)) return undefined
  return `${found}, which cannot match a media type; expected e.g. "text/*"`
}

/**
 * Says what is wrong with the key or a glob of a selection by annotation.
 *
 * @returns text that completes "Invalid ...: ", or undefined
 */
export function annotationGlobProblem(key: string, glob: string): string | undefined {
  if (key === '') return 'found an empty key; expected the name of an annotation'
  // A key to us, and no key at all to much that reads JSON.
  if (key === '__proto__') return `found the key ${quote(key)}; expected the name of an annotation`
  if (glob === '') return `found an empty value for ${quote(key)}; expected a glob, e.g. "*"`
  return glob.length > LIMITS.globLength ? tooLong(glob) : undefined
}

/** Says what is wrong with a list of a selection: each item by `problemOf`, and how many there are. */
export function globsProblem<T>(
  globs: readonly T[],
  problemOf: (glob: T) => string | undefined,
): string | undefined {
  if (globs.length === 0) return 'found an empty list; leave it away to select everything'
  if (globs.length > LIMITS.globsPerList) {
    return `found ${globs.length} items; expected at most ${LIMITS.globsPerList}`
  }
  for (const glob of globs) {
    const problem = problemOf(glob)
    if (problem !== undefined) return problem
  }
  return undefined
}

/** Puts what was read of a selection together; undefined when it selects everything. */
export function selectionOf(
  fields: {
    readonly [K in keyof Selection]?: Selection[K] | undefined
  },
): Selection | undefined {
  const { mediaTypes, annotations, files } = fields
  if (mediaTypes === undefined && annotations === undefined && files === undefined) return undefined
  return {
    ...(mediaTypes !== undefined && { mediaTypes }),
    ...(annotations !== undefined && { annotations }),
    ...(files !== undefined && { files }),
  }
}

function tooLong(glob: string): string {
  return `found a glob of ${glob.length} characters; expected at most ${LIMITS.globLength}`
}

function wordProblem(text: string, words: readonly string[]): string {
  return `found ${quote(text)}; expected ${alternatives(words)}${didYouMean(text, words)}`
}

import type { Platform } from '../oci/descriptor.ts'
import { parsePlatform } from '../oci/platform.ts'
import { parseReference, type Reference } from '../oci/reference.ts'
import { ATTRIBUTES, invalidAttribute } from './attribute-name.ts'
import {
  parseAttributeBoolean,
  parseAttributeCount,
  parseAttributeGlobs,
  parseAttributeList,
} from './attribute-value.ts'
import type { Modes, PullPolicy, Selection, Source, Unpack } from './composition.ts'
import { fileGlobProblem } from './file-glob.ts'
import { subPathProblem } from './file-path.ts'
import { findUnprintable } from './printable-text.ts'
import { parsePullPolicy, pullPolicyProblem } from './pull-policy.ts'
import {
  annotationGlobProblem,
  globsProblem,
  mediaTypeGlobProblem,
  modesProblem,
  parseModes,
  parseUnpack,
  unpackProblem,
} from './selection.ts'
import { parseSourceList } from './source-list.ts'

/** What has been read of a volume's attributes so far. */
export interface AttributeDraft {
  reference?: Reference
  mediaTypes?: readonly string[]
  annotations?: Required<Selection>['annotations']
  files?: readonly string[]
  path?: string
  platform?: Platform
  unpack?: Unpack
  modes?: Modes
  pullPolicy?: PullPolicy
  pullAlways?: boolean
  subPaths?: readonly string[]
  writable?: boolean
  concurrency?: number
  plainHttp?: boolean
  insecure?: boolean
  sources?: readonly Source[]
}

// An upper bound for a number that is an upper bound: nobody's file table survives more downloads of one volume.
const MAX_CONCURRENCY = 1000

const BY_NAME: {
  readonly [K in keyof typeof ATTRIBUTES]: (key: string, text: string) => AttributeDraft[K]
} = {
  reference: readReference,
  mediaTypes: readMediaTypes,
  annotations: readAnnotations,
  files: readFiles,
  path: readVolumePath,
  platform: (key, text) => parsed(key, text, parsePlatform),
  unpack: (key, text) => word(key, text, parseUnpack, unpackProblem),
  modes: (key, text) => word(key, text, parseModes, modesProblem),
  pullPolicy: (key, text) => word(key, text, parsePullPolicy, pullPolicyProblem),
  pullAlways: parseAttributeBoolean,
  subPaths: readSubPaths,
  writable: parseAttributeBoolean,
  concurrency: (key, text) => parseAttributeCount(key, text, MAX_CONCURRENCY),
  plainHttp: parseAttributeBoolean,
  insecure: parseAttributeBoolean,
  sources: parseSourceList,
}

/** How each attribute is read, by its key. To add one: put it into `ATTRIBUTES`, the draft and the table above. */
export const ATTRIBUTE_READERS: ReadonlyMap<
  string,
  (draft: AttributeDraft, text: string) => unknown
> = new Map(
  Object.entries(BY_NAME).map(([name, read]) => {
    const key = Object.entries(ATTRIBUTES).find(([known]) => known === name)?.[1] ?? name
    return [
      key,
      (draft: AttributeDraft, text: string) => {
        refuseUnprintable(key, text)
        const value = read(key, text)
        if (value !== undefined) Object.assign(draft, { [name]: value })
      },
    ]
  }),
)

function refuseUnprintable(key: string, text: string): void {
  const unprintable = findUnprintable(text)
  if (unprintable === undefined) return
  throw invalidAttribute(
    key,
    `found the control or invisible character ${unprintable.name}; not allowed`,
  )
}

/** People write `oras://` by hand, and leave the tag away where they mean `latest`. */
function readReference(key: string, text: string): Reference {
  const reference = parsed(key, text.replace(/^oras:\/\//, ''), parseReference)
  const named = reference.tag !== undefined || reference.digest !== undefined
  return named ? reference : { ...reference, tag: 'latest' }
}

function parsed<T>(key: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw invalidAttribute(key, message.replace(/^Invalid/, 'invalid'), { cause })
  }
}

function word<T>(
  key: string,
  text: string,
  parse: (text: string) => T | undefined,
  problemOf: (text: string) => string,
): T {
  const value = parse(text)
  if (value !== undefined) return value
  throw invalidAttribute(key, problemOf(text))
}

function readMediaTypes(key: string, text: string): readonly string[] {
  return globs(key, parseAttributeList(key, text), mediaTypeGlobProblem)
}

function readFiles(key: string, text: string): readonly string[] {
  return globs(key, parseAttributeList(key, text), fileGlobProblem)
}

function readAnnotations(key: string, text: string): Required<Selection>['annotations'] {
  const found = parseAttributeGlobs(key, text)
  globs(key, [...found.keys()], (name) => annotationGlobProblem(name, '*'))
  for (const [name, list] of found) globs(key, list, (glob) => annotationGlobProblem(name, glob))
  return Object.fromEntries(found)
}

function globs(
  key: string,
  list: readonly string[],
  problemOf: (glob: string) => string | undefined,
): readonly string[] {
  // JSON escapes get past the check of the whole text.
  for (const glob of list) refuseUnprintable(key, glob)
  const problem = globsProblem(list, problemOf)
  if (problem !== undefined) throw invalidAttribute(key, problem)
  return list
}

/** `/` is where an artifact is placed anyway. */
function readVolumePath(key: string, path: string): string | undefined {
  if (path === '/') return undefined
  const problem = subPathProblem(path)
  if (problem !== undefined) throw invalidAttribute(key, problem)
  return path
}

function readSubPaths(key: string, text: string): readonly string[] {
  const paths = parseAttributeList(key, text)
  for (const path of paths) {
    const problem = subPathProblem(path)
    // JSON escapes get past the check of the whole text.
    refuseUnprintable(key, path)
    if (problem !== undefined) throw invalidAttribute(key, problem)
  }
  return paths
}

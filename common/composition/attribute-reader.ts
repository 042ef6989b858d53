import { parseReference, type Reference } from '../oci/reference.ts'
import { ATTRIBUTES, invalidAttribute } from './attribute-name.ts'
import {
  parseAttributeBoolean,
  parseAttributeCount,
  parseAttributeList,
} from './attribute-value.ts'
import type { PullPolicy } from './composition.ts'
import { subPathProblem } from './file-path.ts'
import { findUnprintable } from './printable-text.ts'
import { parsePullPolicy, pullPolicyProblem } from './pull-policy.ts'

/** What has been read of a volume's attributes so far. */
export interface AttributeDraft {
  reference?: Reference
  pullPolicy?: PullPolicy
  pullAlways?: boolean
  subPaths?: readonly string[]
  concurrency?: number
  plainHttp?: boolean
  insecure?: boolean
}

// An upper bound for a number that is an upper bound: nobody's file table survives more downloads of one volume.
const MAX_CONCURRENCY = 1000

const BY_NAME: {
  readonly [K in keyof typeof ATTRIBUTES]: (key: string, text: string) => AttributeDraft[K]
} = {
  reference: readReference,
  pullPolicy: readPullPolicy,
  pullAlways: parseAttributeBoolean,
  subPaths: readSubPaths,
  concurrency: (key, text) => parseAttributeCount(key, text, MAX_CONCURRENCY),
  plainHttp: parseAttributeBoolean,
  insecure: parseAttributeBoolean,
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
        Object.assign(draft, { [name]: read(key, text) })
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
  try {
    const reference = parseReference(text.replace(/^oras:\/\//, ''))
    const named = reference.tag !== undefined || reference.digest !== undefined
    return named ? reference : { ...reference, tag: 'latest' }
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw invalidAttribute(key, message.replace(/^Invalid/, 'invalid'), { cause })
  }
}

function readPullPolicy(key: string, text: string): PullPolicy {
  const policy = parsePullPolicy(text)
  if (policy !== undefined) return policy
  throw invalidAttribute(key, pullPolicyProblem(text))
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

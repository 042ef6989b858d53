import { didYouMean } from '../suggest.ts'
import {
  type AnnotationValue,
  alternatives,
  describe,
  quote,
  readText,
} from './annotation-value.ts'
import type { Selection } from './composition.ts'
import { fileGlobProblem } from './file-glob.ts'
import { invalidAt } from './finding.ts'
import {
  annotationGlobProblem,
  globsProblem,
  mediaTypeGlobProblem,
  selectionOf,
} from './selection.ts'

type Draft = { -readonly [K in keyof Selection]?: Selection[K] }

const READERS: {
  readonly [K in keyof Selection]-?: (value: AnnotationValue) => Selection[K]
} = {
  mediaTypes: (value) => readGlobs(value, mediaTypeGlobProblem, '["application/java-archive"]'),
  annotations: readAnnotations,
  files: (value) => readGlobs(value, fileGlobProblem, '["*.jar", "!*-sources.jar"]'),
}

const FIELDS: ReadonlyMap<string, (draft: Draft, value: AnnotationValue) => unknown> = new Map(
  Object.entries(READERS).map(([name, read]) => [
    name,
    (draft: Draft, value: AnnotationValue) => Object.assign(draft, { [name]: read(value) }),
  ]),
)

const NAMES = [...FIELDS.keys()]

/**
 * Reads the `select` of an entry.
 *
 * @throws INVALID with the place, for an unknown field with the nearest one, for an empty list, and for a glob that cannot match
 */
export function readSelection(value: AnnotationValue): Selection {
  if (value.kind !== 'mapping') {
    throw invalidAt(
      value.place,
      `found ${describe(value)}; expected a mapping with ${alternatives(NAMES)}, e.g. {files: ["*.jar"]}`,
    )
  }
  const draft: Draft = {}
  for (const member of value.members) {
    const read = FIELDS.get(member.key)
    if (read === undefined) {
      const hint = didYouMean(member.key, NAMES) || `; expected ${alternatives(NAMES)}`
      throw invalidAt(member.place, `unknown field ${quote(member.key)}${hint}`)
    }
    read(draft, member.value)
  }
  const selection = selectionOf(draft)
  if (selection !== undefined) return selection
  throw invalidAt(value.place, 'found an empty mapping; leave it away to select everything')
}

function readGlobs(
  value: AnnotationValue,
  problemOf: (glob: string) => string | undefined,
  example: string,
): readonly string[] {
  if (value.kind !== 'list') {
    throw invalidAt(value.place, `found ${describe(value)}; expected a list, e.g. ${example}`)
  }
  const globs = value.items.map((item) => {
    const glob = readText(item)
    const problem = problemOf(glob)
    if (problem === undefined) return glob
    throw invalidAt(item.place, problem)
  })
  const problem = globsProblem(globs, () => undefined)
  if (problem === undefined) return globs
  throw invalidAt(value.place, problem)
}

function readAnnotations(value: AnnotationValue): Readonly<Record<string, readonly string[]>> {
  if (value.kind !== 'mapping') {
    throw invalidAt(
      value.place,
      `found ${describe(value)}; expected a mapping from annotation to glob, e.g. {com.acme.kind: "plugin-*"}`,
    )
  }
  const problem = globsProblem(
    value.members.map(({ key }) => key),
    () => undefined,
  )
  if (problem !== undefined) throw invalidAt(value.place, problem.replace('list', 'mapping'))
  return Object.fromEntries(
    value.members.map((member) => {
      const { key } = member
      const problemOf = (glob: string) => annotationGlobProblem(key, glob)
      const badKey = problemOf('*')
      if (badKey !== undefined) throw invalidAt(member.place, badKey)
      if (member.value.kind === 'list') return [key, readGlobs(member.value, problemOf, '["a*"]')]
      return [
        key,
        readGlobs({ ...member.value, kind: 'list', items: [member.value] }, problemOf, ''),
      ]
    }),
  )
}

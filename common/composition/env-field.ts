import { didYouMean } from '../suggest.ts'
import {
  type AnnotationValue,
  alternatives,
  describe,
  quote,
  readText,
} from './annotation-value.ts'
import type { EnvRule } from './composition.ts'
import { collectFindings, invalidAt, type Place } from './finding.ts'

/** Under this prefix the source of a variable goes on that an entry appends to. */
export const ENV_BASE_PREFIX = 'ORAS_BASE_'

const PATH_SEPARATOR = [
  'PATH',
  'LD_LIBRARY_PATH',
  'LD_PRELOAD',
  'CLASSPATH',
  'PYTHONPATH',
  'NODE_PATH',
]
const OPTION_SEPARATOR = ['JAVA_TOOL_OPTIONS', 'JDK_JAVA_OPTIONS', 'NODE_OPTIONS']

/** What stands between the parts of variables that everybody knows. */
const SEPARATORS: ReadonlyMap<string, string> = new Map([
  ...PATH_SEPARATOR.map((name) => [name, ':'] as const),
  ...OPTION_SEPARATOR.map((name) => [name, ' '] as const),
])

const ACTIONS = ['value', 'append', 'prepend'] as const
const FIELD_NAMES = ['name', ...ACTIONS, 'separator', 'base'] as const
const EXAMPLE = '{name: APP_HOME, value: /app}'

// As Kubernetes has always validated the names of variables, less those it takes for relative paths.
const VARIABLE = /^(?!\.\.)(?!\.$)[-._a-zA-Z][-._a-zA-Z0-9]*$/

/**
 * Reads the `env` of an entry: a list of `{name, value}`, or of `{name, append or prepend, separator, base}`.
 *
 * @throws INVALID with the place of everything that is wrong
 */
export function readEnv(value: AnnotationValue): readonly EnvRule[] {
  if (value.kind !== 'list') {
    throw invalidAt(value.place, `found ${describe(value)}; expected a list, e.g. [${EXAMPLE}]`)
  }
  if (value.items.length === 0) {
    throw invalidAt(value.place, 'found an empty list; leave it away to set no variable')
  }
  const collector = collectFindings()
  const rules = value.items.map((item) => collector.attempt(() => readRule(item)))
  collector.finish()
  return rules.filter((rule) => rule !== undefined)
}

/** What was written of one rule. */
type Fields = { [K in (typeof FIELD_NAMES)[number]]?: { text: string; place: Place } }

function readRule(value: AnnotationValue): EnvRule {
  const { place } = value
  const fields = readFields(value)
  const { name } = fields
  if (name === undefined) throw invalidAt(place, `missing "name"; expected e.g. ${EXAMPLE}`)
  const problem = variableProblem(name.text)
  if (problem !== undefined) throw invalidAt(name.place, problem)
  const [action, another] = ACTIONS.filter((one) => fields[one] !== undefined)
  if (action === undefined) {
    throw invalidAt(place, `missing ${alternatives(ACTIONS)}; expected e.g. ${EXAMPLE}`)
  }
  if (another !== undefined) {
    throw invalidAt(
      fields[another]?.place ?? place,
      `found "${another}" beside "${action}"; expected one of ${alternatives(ACTIONS)}`,
    )
  }
  const text = fields[action]?.text ?? ''
  if (action !== 'value') {
    return { kind: action, place, name: name.text, part: text, ...readJoint(fields, place) }
  }
  for (const field of ['separator', 'base'] as const) {
    const stray = fields[field]
    if (stray === undefined) continue
    throw invalidAt(
      stray.place,
      `found "${field}" beside "value"; it belongs to "append" and "prepend"`,
    )
  }
  return { kind: 'value', place, name: name.text, value: text }
}

function readFields(value: AnnotationValue): Fields {
  if (value.kind !== 'mapping') {
    throw invalidAt(value.place, `found ${describe(value)}; expected a mapping, e.g. ${EXAMPLE}`)
  }
  const fields: Fields = {}
  for (const member of value.members) {
    const field = FIELD_NAMES.find((name) => name === member.key)
    if (field === undefined) {
      const hint = didYouMean(member.key, FIELD_NAMES) || `; expected ${alternatives(FIELD_NAMES)}`
      throw invalidAt(member.place, `unknown field ${quote(member.key)}${hint}`)
    }
    fields[field] = { text: readFieldText(field, member.value), place: member.value.place }
  }
  return fields
}

/** A variable may be empty, and so may what something is appended to. */
function readFieldText(field: keyof Fields, value: AnnotationValue): string {
  const mayBeEmpty = field === 'value' || field === 'base'
  return mayBeEmpty && value.kind === 'scalar' && value.value === '' ? '' : readText(value)
}

function readJoint({ name, separator, base }: Fields, place: Place) {
  const between = separator?.text ?? SEPARATORS.get(name?.text ?? '')
  if (between !== undefined) {
    return { separator: between, ...(base !== undefined && { base: base.text }) }
  }
  throw invalidAt(
    place,
    `missing "separator", which is known only for ${[...SEPARATORS.keys()].join(', ')}; expected e.g. separator: ","`,
  )
}

function variableProblem(name: string): string | undefined {
  if (name.startsWith(ENV_BASE_PREFIX)) {
    return `found ${quote(name)}; names that start with "${ENV_BASE_PREFIX}" are given by oras-csi, expected another`
  }
  if (VARIABLE.test(name)) return undefined
  return `found ${quote(name)}; expected the name of a variable: letters, digits, "_", "-" and ".", not starting with a digit, e.g. "APP_HOME"`
}

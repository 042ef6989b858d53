import type { EnvPart, EnvRule, EnvValue } from '../common/composition/composition.ts'
import { ENV_BASE_PREFIX } from '../common/composition/env-field.ts'
import {
  type FindingCollector,
  invalidAt,
  type Notice,
  warningAt,
} from '../common/composition/finding.ts'
import { agreedRules } from './environment-rules.ts'
import { isJsonObject, isTrueAt, type JsonObject, objectAt, textAt } from './json.ts'
import { type Container, readObjects } from './pod.ts'

/** What a composition makes of one container's variables. */
export interface PlannedEnv {
  readonly container: Container
  /** The whole list as it should be; absent where it is already. */
  readonly after?: readonly JsonObject[]
  /** The variables that hold what the composition says, each once; one that a user's own value stands against is not among them. */
  readonly names: readonly string[]
  readonly warnings: readonly Notice[]
}

/** The variables of one container while rules are applied to them. */
interface Draft {
  readonly container: Container
  readonly env: JsonObject[]
  changed: boolean
  readonly names: string[]
  readonly warnings: Notice[]
}

/**
 * Applies rules to the variables of one container. What is there stays where it is; what is new comes last, so that it can refer to what is there.
 *
 * @param rules at least one, in the order written
 */
export function composeEnv(
  container: Container,
  rules: readonly EnvRule[],
  collector: FindingCollector,
): PlannedEnv {
  const env = collector.attempt(() => readObjects(container.json, container.path, 'env')) ?? []
  const draft: Draft = { container, env: [...env], changed: false, names: [], warnings: [] }
  for (const [name, group] of Map.groupBy(rules, (rule) => rule.name)) {
    collector.attempt(() => applyRules(draft, name, group))
  }
  const { names, warnings, changed } = draft
  return { container, names, warnings, ...(changed && { after: draft.env }) }
}

function applyRules(draft: Draft, name: string, rules: readonly EnvRule[]): void {
  const agreed = agreedRules(draft.container, rules)
  const set = agreed.kind === 'value' ? setValue(draft, agreed.rule) : join(draft, agreed.parts)
  if (set) draft.names.push(name)
}

/** @returns whether the variable holds what the rule says */
function setValue(draft: Draft, { name, value, place }: EnvValue): boolean {
  const { container, env } = draft
  const present = variable(env, name)
  if (present === undefined) {
    if (hasEnvFrom(container)) {
      const text = `${container.label}: "${name}" replaces one that "envFrom" may set`
      draft.warnings.push(warningAt(place, text))
    }
    append(draft, { name, value })
    return true
  }
  if (present.valueFrom === undefined && present.value === value) return true
  const text = `${container.label}: "${name}" keeps the value that the pod gives it`
  draft.warnings.push(warningAt(place, text))
  return false
}

/** Joins parts to what the variable holds; those that are there already stay. */
function join(draft: Draft, parts: readonly [EnvPart, ...EnvPart[]]): boolean {
  const [{ name }] = parts
  const { env } = draft
  const present = variable(env, name)
  if (present === undefined) {
    append(draft, { name, value: joined(baseOf(draft.container, parts), parts) })
    return true
  }
  const { at, json, value, valueFrom } = present
  if (valueFrom === undefined) {
    const whole = joined(value, parts)
    if (whole === value) return true
    env[at] = { ...json, value: whole }
  } else {
    const base = movedName(draft, parts, valueFrom)
    const whole = joined(`$(${base})`, parts)
    // The base first: a variable can refer to those before it only.
    env.splice(at, 1, { ...json, name: base }, { name, value: whole })
  }
  draft.changed = true
  return true
}

function joined(value: string, parts: readonly EnvPart[]): string {
  return parts.reduce((whole, { kind, part, separator }) => {
    // An empty part of PATH is the working directory: never a separator at an end.
    if (whole === '') return part
    const has = `${separator}${whole}${separator}`.includes(`${separator}${part}${separator}`)
    if (has) return whole
    return kind === 'append' ? `${whole}${separator}${part}` : `${part}${separator}${whole}`
  }, value)
}

/** What parts are joined to where the container's own list does not have the variable. */
function baseOf(container: Container, parts: readonly [EnvPart, ...EnvPart[]]): string {
  const base = parts.find((one) => one.base !== undefined)?.base
  if (base !== undefined) return base
  const [{ name, kind, place }] = parts
  const others = hasEnvFrom(container) ? 'its image or "envFrom"' : 'its image'
  throw invalidAt(
    place,
    `container "${container.label}" does not set "${name}", and setting it would replace what ${others} may set; expected "base" to say what to ${kind} to, e.g. base: "" for nothing`,
  )
}

/** The name that the source of a variable goes on under. */
function movedName(
  { container, env }: Draft,
  [{ name, kind, place }]: readonly [EnvPart, ...EnvPart[]],
  valueFrom: JsonObject,
): string {
  const base = `${ENV_BASE_PREFIX}${name}`
  if (
    Object.values(valueFrom).some((source) => isJsonObject(source) && isTrueAt(source, 'optional'))
  ) {
    throw invalidAt(
      place,
      `cannot ${kind} to "${name}" of container "${container.label}": its source is optional, and where it is missing the variable would read "$(${base})"; expected a source without "optional: true", or a value`,
    )
  }
  if (variable(env, base) === undefined) return base
  throw invalidAt(
    place,
    `cannot ${kind} to "${name}" of container "${container.label}": its source would go on as "${base}", which the container has already; expected that to have another name`,
  )
}

function append(draft: Draft, json: JsonObject): void {
  draft.env.push(json)
  draft.changed = true
}

/** The variable that counts: of several with one name, the last. */
function variable(env: readonly JsonObject[], name: string) {
  const at = env.findLastIndex((one) => textAt(one, 'name') === name)
  const json = env[at]
  if (json === undefined) return undefined
  return { at, json, value: textAt(json, 'value') ?? '', valueFrom: objectAt(json, 'valueFrom') }
}

function hasEnvFrom({ json }: Container): boolean {
  const { envFrom } = json
  return Array.isArray(envFrom) && envFrom.length > 0
}

import type { EnvPart, EnvRule, EnvValue } from '../common/composition/composition.ts'
import { invalidAt } from '../common/composition/finding.ts'
import type { Container } from './pod.ts'

/** What all rules for one variable of one container come to. */
export type AgreedRules =
  | { readonly kind: 'value'; readonly rule: EnvValue }
  | { readonly kind: 'parts'; readonly parts: readonly [EnvPart, ...EnvPart[]] }

/**
 * Puts the rules of several entries for one variable together: they set one value, or join parts in one way.
 *
 * @param rules at least one, in the order written
 * @throws INVALID at the first that does not agree with the one before it
 */
export function agreedRules(container: Container, rules: readonly EnvRule[]): AgreedRules {
  const values = rules.filter((rule) => rule.kind === 'value')
  const parts = rules.filter((rule) => rule.kind !== 'value')
  const [value] = values
  const [part, ...others] = parts
  if (part === undefined) {
    if (value === undefined) throw new RangeError('No rule')
    const another = values.find((rule) => rule.value !== value.value)
    if (another !== undefined) throw disagreement(container, value, another, 'one value')
    return { kind: 'value', rule: value }
  }
  if (value !== undefined) {
    const [first, second] = rules[0] === value ? [value, part] : [part, value]
    throw disagreement(
      container,
      first,
      second,
      '"value" alone, or "append" and "prepend" with it as "base"',
    )
  }
  const separated = others.find(({ separator }) => separator !== part.separator)
  if (separated !== undefined) throw disagreement(container, part, separated, 'one "separator"')
  const based = parts.filter(({ base }) => base !== undefined)
  const rebased = based.find(({ base }) => base !== based[0]?.base)
  if (based[0] !== undefined && rebased !== undefined) {
    throw disagreement(container, based[0], rebased, 'one "base"')
  }
  return { kind: 'parts', parts: [part, ...others] }
}

function disagreement(container: Container, first: EnvRule, second: EnvRule, expected: string) {
  return invalidAt(
    second.place,
    `"${second.name}" of container "${container.label}" has ${said(second)} here and ${said(first)} in ${first.place.path}; expected ${expected}`,
  )
}

function said(rule: EnvRule): string {
  if (rule.kind === 'value') return `value ${JSON.stringify(rule.value.slice(0, 100))}`
  const { kind, part, separator, base } = rule
  const shown = `${kind} ${JSON.stringify(part.slice(0, 100))} with separator ${JSON.stringify(separator)}`
  return base === undefined ? shown : `${shown} and base ${JSON.stringify(base.slice(0, 100))}`
}

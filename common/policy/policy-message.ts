import { ATTRIBUTES } from '../composition/attribute-name.ts'
import { formatReference } from '../oci/reference.ts'
import { matchNamespace } from './namespace-match.ts'
import type { AllowRule, Policy, PolicyRule, PolicySubject } from './policy.ts'

/** What of a subject an allow rule may refuse. */
export type Breach = 'digest' | 'writable' | 'plainHttp' | 'insecureTls'

/** How many globs of what is allowed a message names. */
const MAX_NAMED = 8

export function denyMessage(policy: Policy, rule: PolicyRule, subject: PolicySubject): string {
  const hint = policy.default === 'deny' ? allowedHint(policy, subject) : ''
  return `${cannotUse(subject)}: the admin's policy denies it by ${named(rule)}${hint}`
}

export function defaultMessage(policy: Policy, subject: PolicySubject): string {
  return `${cannotUse(subject)}: no rule of the admin's policy allows it${allowedHint(policy, subject)}`
}

export function wishMessage(subject: PolicySubject, wish: 'plainHttp' | 'insecureTls'): string {
  return `${cannotUse(subject)}: no rule of the admin's policy allows ${WISHES[wish].what}; ${WISHES[wish].fix}`
}

export function breachMessage(rule: AllowRule, subject: PolicySubject, breach: Breach): string {
  return `${cannotUse(subject)}: ${named(rule)} of the admin's policy ${breachText(subject, breach)}`
}

export function contentMessage(
  rule: AllowRule,
  subject: PolicySubject,
  { found, most, what }: { found: number; most: number; what: 'bytes' | 'files' },
): string {
  const unit = what === 'bytes' ? 'bytes' : 'files, directories and links'
  return `${cannotUse(subject)}: ${named(rule)} of the admin's policy allows at most ${most} ${unit}, and this artifact has ${found}`
}

function breachText({ reference }: PolicySubject, breach: Breach): string {
  if (breach === 'digest') {
    const name = formatReference(reference)
    return `demands a digest; expected "${name}@sha256:...", which "oras resolve ${name}" tells`
  }
  if (breach === 'writable') {
    return `allows no writable volumes; leave "readOnly: false" or "${ATTRIBUTES.writable}" out`
  }
  return `does not allow ${WISHES[breach].what}; ${WISHES[breach].fix}`
}

const WISHES = {
  plainHttp: { what: 'plain HTTP', fix: `leave "${ATTRIBUTES.plainHttp}" out` },
  insecureTls: { what: 'unverified TLS', fix: `leave "${ATTRIBUTES.insecure}" out` },
} as const

function cannotUse({ reference, namespace }: PolicySubject): string {
  const where =
    namespace === undefined ? 'a namespace that is not known' : `namespace "${namespace}"`
  return `Cannot use "${formatReference(reference)}" in ${where}`
}

function named({ name }: PolicyRule): string {
  return `rule "${name}"`
}

/** What a person may use instead. */
function allowedHint({ rules }: Policy, { namespace }: PolicySubject): string {
  const globs = rules
    .filter((rule) => rule.effect === 'allow' && matchNamespace(rule, namespace) === 'yes')
    .flatMap(({ references }) => references?.map(({ text }) => text) ?? ['*/*'])
  const distinct = [...new Set(globs)]
  if (distinct.length === 0) return '; nothing is allowed there'
  const shown = distinct.slice(0, MAX_NAMED).map((glob) => `"${glob}"`)
  const more = distinct.length > MAX_NAMED ? ` and ${distinct.length - MAX_NAMED} more` : ''
  return `; allowed there: ${shown.join(', ')}${more}`
}

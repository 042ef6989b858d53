import { matchNamespace } from './namespace-match.ts'
import type { AllowRule, Policy, PolicyRule, PolicySubject } from './policy.ts'
import {
  type Breach,
  breachMessage,
  contentMessage,
  defaultMessage,
  denyMessage,
  wishMessage,
} from './policy-message.ts'
import { type GlobTarget, globTarget, matchesGlob } from './reference-glob.ts'

/** What a policy says of a source. */
export type Decision =
  | {
      readonly effect: 'allow'
      /** Undefined: the default. */
      readonly rule: PolicyRule | undefined
      /** Those whose limits the artifact has to keep as well. */
      readonly limits: readonly AllowRule[]
    }
  | {
      readonly effect: 'deny'
      readonly rule: PolicyRule | undefined
      /** For the person who wrote the pod: which rule, why, and what would be allowed. */
      readonly message: string
    }

/** What is known of an artifact. */
export interface ArtifactFacts {
  /** Of the layers that the source selects, each blob once. */
  readonly bytes?: number
  /** Files, directories and links; before an archive is unpacked, those that are sure to come. */
  readonly files?: number
}

/**
 * Decides about one source before a registry is asked. Pure; the semantics are those of {@link Policy}.
 *
 * A subject without a namespace may be of any: a rule about some namespaces denies what it denies or limits, but does not allow.
 */
export function decide(policy: Policy, subject: PolicySubject): Decision {
  const limits: AllowRule[] = []
  const target = globTarget(subject.reference)
  for (const rule of policy.rules) {
    const match = matchRule(rule, target, subject.namespace)
    if (match === 'no') continue
    if (rule.effect === 'deny') {
      return { effect: 'deny', rule, message: denyMessage(policy, rule, subject) }
    }
    const breach = findBreach(rule, subject)
    if (breach !== undefined) {
      return { effect: 'deny', rule, message: breachMessage(rule, subject, breach) }
    }
    if (rule.maxBytes !== undefined || rule.maxFiles !== undefined) limits.push(rule)
    if (match === 'yes') return { effect: 'allow', rule, limits }
  }
  return decideByDefault(policy, subject, limits)
}

/** Why an artifact is denied. */
export interface ContentBreach {
  readonly rule: AllowRule
  readonly message: string
}

/**
 * Holds an artifact against the limits of those who allowed it.
 *
 * @returns undefined when it keeps them
 */
export function contentBreach(
  limits: readonly AllowRule[],
  subject: PolicySubject,
  { bytes = 0, files = 0 }: ArtifactFacts,
): ContentBreach | undefined {
  for (const rule of limits) {
    const { maxBytes = bytes, maxFiles = files } = rule
    if (bytes > maxBytes) {
      const about = { found: bytes, most: maxBytes, what: 'bytes' } as const
      return { rule, message: contentMessage(rule, subject, about) }
    }
    if (files > maxFiles) {
      const about = { found: files, most: maxFiles, what: 'files' } as const
      return { rule, message: contentMessage(rule, subject, about) }
    }
  }
  return undefined
}

function matchRule(rule: PolicyRule, target: GlobTarget, namespace: string | undefined) {
  const { references, effect } = rule
  const named =
    references === undefined || references.some((glob) => matchesGlob(glob, target, effect))
  return named ? matchNamespace(rule, namespace) : 'no'
}

function findBreach(rule: AllowRule, subject: PolicySubject): Breach | undefined {
  if (rule.requireDigest && subject.reference.digest === undefined) return 'digest'
  if (!rule.writable && subject.writable) return 'writable'
  if (!rule.plainHttp && subject.plainHttp) return 'plainHttp'
  if (!rule.insecureTls && subject.insecureTls) return 'insecureTls'
  return undefined
}

function decideByDefault(
  policy: Policy,
  subject: PolicySubject,
  limits: readonly AllowRule[],
): Decision {
  if (policy.default === 'deny') {
    return { effect: 'deny', rule: undefined, message: defaultMessage(policy, subject) }
  }
  const wish = subject.plainHttp ? 'plainHttp' : subject.insecureTls ? 'insecureTls' : undefined
  return wish === undefined
    ? { effect: 'allow', rule: undefined, limits }
    : { effect: 'deny', rule: undefined, message: wishMessage(subject, wish) }
}

import { bool, byteCount, integer, optional, text } from '../common/flags.ts'
import { parseReference } from '../common/oci/reference.ts'
import { type ArtifactFacts, contentBreach, decide } from '../common/policy/decide.ts'
import type { AllowRule, Policy, PolicyRule, PolicySubject } from '../common/policy/policy.ts'
import { createCommand } from './command.ts'
import { POLICY_FILE_FLAG, readPolicyDocument } from './policy-document.ts'

const FLAGS = {
  ...POLICY_FILE_FLAG,
  namespace: {
    ...{ value: 'NAME', short: 'n', default: '' },
    doc: "the pod's; without one, what every namespace may have",
    parse: optional(text),
  },
  writable: { doc: 'for a writable volume', parse: bool },
  'plain-http': { doc: 'for a pod that asks for plain HTTP', parse: bool },
  insecure: { doc: 'for a pod that asks for unverified TLS', parse: bool },
  size: {
    ...{ value: 'BYTES', default: '' },
    doc: 'for an artifact with layers of that size; without one, sizes are not looked at',
    parse: optional(byteCount(0, 2 ** 53 - 1)),
  },
  files: {
    ...{ value: 'COUNT', default: '' },
    doc: 'for an artifact with that many files, directories and links',
    parse: optional(integer(0, 2 ** 53 - 1)),
  },
  json: { doc: 'as JSON', parse: bool },
} as const

/**
 * Says of each reference whether a policy allows it, by which rule and why. It asks no registry: sizes are those given.
 *
 * Exit code 1 when one is denied.
 */
export const policyTest = createCommand({
  summary: 'say whether a policy allows references, and by which rule',
  usage: 'oras-csi policy test -f FILE [-n NAMESPACE] REFERENCE... [FLAGS]',
  flags: FLAGS,
  positionals: 'some',
  async run(values, names, io) {
    const references = names.map(parseReference)
    const { policy } = await readPolicyDocument(values.file, io)
    const { size, files, namespace } = values
    const facts = {
      ...(size !== undefined && { bytes: size }),
      ...(files !== undefined && { files }),
    }
    const results = references.map((reference, at) => ({
      reference: names[at] ?? '',
      ...judge(policy, facts, {
        ...{ namespace, reference, writable: values.writable },
        ...{ plainHttp: values['plain-http'], insecureTls: values.insecure },
      }),
    }))
    io.stdout(
      values.json ? `${JSON.stringify(results, undefined, 2)}\n` : results.map(lineOf).join(''),
    )
    return results.every(({ allowed }) => allowed) ? 0 : 1
  },
})

interface Result {
  readonly allowed: boolean
  /** Absent: the default. */
  readonly rule?: string
  readonly line?: number
  /** Why it is denied. */
  readonly message?: string
  /** What the artifact has to keep; as far as it was given, it does. */
  readonly limits?: readonly Limit[]
}

type Limit = Pick<AllowRule, 'maxBytes' | 'maxFiles'> & { readonly rule: string }

function judge(policy: Policy, facts: ArtifactFacts, subject: PolicySubject): Result {
  const decision = decide(policy, subject)
  if (decision.effect === 'deny') {
    return { allowed: false, ...placeOf(decision.rule), message: decision.message }
  }
  const breach = contentBreach(decision.limits, subject, facts)
  if (breach !== undefined) {
    return { allowed: false, ...placeOf(breach.rule), message: breach.message }
  }
  return { allowed: true, ...placeOf(decision.rule), limits: decision.limits.map(limitOf) }
}

function placeOf(rule: PolicyRule | undefined): Pick<Result, 'rule' | 'line'> {
  return rule === undefined ? {} : { rule: rule.name, line: rule.line }
}

function limitOf({ name, maxBytes, maxFiles }: AllowRule): Limit {
  return {
    rule: name,
    ...(maxBytes !== undefined && { maxBytes }),
    ...(maxFiles !== undefined && { maxFiles }),
  }
}

/** `allowed  ghcr.io/acme/app:v1  rule "shops" (line 4), up to 1000 bytes` */
function lineOf({
  reference,
  allowed,
  rule,
  line,
  message,
  limits = [],
}: Result & {
  readonly reference: string
}): string {
  const by = rule === undefined ? 'the default' : `rule "${rule}" (line ${line})`
  const most = limits.flatMap(({ maxBytes, maxFiles }) => [
    ...(maxBytes === undefined ? [] : [`up to ${maxBytes} bytes`]),
    ...(maxFiles === undefined ? [] : [`up to ${maxFiles} files, directories and links`]),
  ])
  const head = `${allowed ? 'allowed' : 'denied '}  ${reference}  ${[by, ...most].join(', ')}\n`
  return message === undefined ? head : `${head}         ${message}\n`
}

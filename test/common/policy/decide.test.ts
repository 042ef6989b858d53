import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseReference } from '../../../common/oci/reference.ts'
import { contentBreach, decide } from '../../../common/policy/decide.ts'
import { parsePolicy } from '../../../common/policy/parse-policy.ts'
import type { Policy, PolicySubject } from '../../../common/policy/policy.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`
const policy = (byDefault: string, rules: string) =>
  parsePolicy(
    `apiVersion: csi.oras.land/v1alpha1\nkind: Policy\ndefault: ${byDefault}\nrules:\n${rules}`,
  )

function subject(
  reference: string,
  { namespace = 'shop', ...wishes }: Partial<PolicySubject> = {},
): PolicySubject {
  return {
    ...{ namespace, reference: parseReference(reference) },
    ...{ writable: false, plainHttp: false, insecureTls: false, ...wishes },
  }
}

/** `allow` or `deny`, the rule, and the message of a denial. */
function verdict(of: Policy, about: PolicySubject): string {
  const decision = decide(of, about)
  const by = decision.rule?.name ?? 'default'
  return decision.effect === 'allow' ? `allow by ${by}` : `deny by ${by}: ${decision.message}`
}

const SHOPS = policy(
  'deny',
  `- {name: no-legacy, effect: deny, references: ["ghcr.io/acme/legacy/*"]}
- {name: platform, effect: allow, namespaces: [platform]}
- {name: strict, effect: allow, namespaces: [shop, "shop-*"], references: ["ghcr.io/acme/*"], requireDigest: true, writable: false, maxBytes: 1000, maxFiles: 10}
- {name: lax, effect: allow, references: ["ghcr.io/*", "quay.io/acme/*"]}
- {name: local, effect: allow, namespaces: [dev], references: ["registry.dev:5000/*"], plainHttp: true, insecureTls: true}
`,
)

describe('a policy', () => {
  test.each<[string, PolicySubject, string]>([
    [
      'denies what a rule denies, whoever else would allow it, and says what is allowed',
      subject('ghcr.io/acme/legacy/app:1'),
      'deny by no-legacy: Cannot use "ghcr.io/acme/legacy/app:1" in namespace "shop": the admin\'s policy denies it by rule "no-legacy"; allowed there: "ghcr.io/acme/*", "ghcr.io/*", "quay.io/acme/*"',
    ],
    [
      'allows everything to whom a rule allows everything',
      subject('evil.example/x:1', { namespace: 'platform', writable: true }),
      'allow by platform',
    ],
    [
      'allows what keeps the limits of the first rule that matches',
      subject(`ghcr.io/acme/app@${DIGEST}`),
      'allow by strict',
    ],
    [
      'matches a namespace by glob',
      subject(`ghcr.io/acme/app:1@${DIGEST}`, { namespace: 'shop-eu' }),
      'allow by strict',
    ],
    [
      'denies a tag where a digest is demanded, although a later rule would allow it',
      subject('ghcr.io/acme/app:1'),
      'deny by strict: Cannot use "ghcr.io/acme/app:1" in namespace "shop": rule "strict" of the admin\'s policy demands a digest; expected "ghcr.io/acme/app:1@sha256:...", which "oras resolve ghcr.io/acme/app:1" tells',
    ],
    [
      'denies a writable volume where there may be none',
      subject(`ghcr.io/acme/app@${DIGEST}`, { writable: true }),
      `deny by strict: Cannot use "ghcr.io/acme/app@${DIGEST}" in namespace "shop": rule "strict" of the admin's policy allows no writable volumes; leave "readOnly: false" or "oras.options.writable" out`,
    ],
    [
      'denies plain HTTP where no rule says so',
      subject('quay.io/acme/app:1', { plainHttp: true }),
      'deny by lax: Cannot use "quay.io/acme/app:1" in namespace "shop": rule "lax" of the admin\'s policy does not allow plain HTTP; leave "oras.options.plainhttp" out',
    ],
    [
      'denies unverified TLS where no rule says so',
      subject('quay.io/acme/app:1', { insecureTls: true }),
      'deny by lax: Cannot use "quay.io/acme/app:1" in namespace "shop": rule "lax" of the admin\'s policy does not allow unverified TLS; leave "oras.options.insecure" out',
    ],
    [
      'allows both where a rule says so',
      subject('registry.dev:5000/app:1', { namespace: 'dev', plainHttp: true, insecureTls: true }),
      'allow by local',
    ],
    [
      'takes the next rule where a namespace does not match',
      subject('ghcr.io/acme/app:1', { namespace: 'shopping' }),
      'allow by lax',
    ],
    [
      'denies by default what no rule names',
      subject('docker.io/library/nginx:1'),
      'deny by default: Cannot use "docker.io/library/nginx:1" in namespace "shop": no rule of the admin\'s policy allows it; allowed there: "ghcr.io/acme/*", "ghcr.io/*", "quay.io/acme/*"',
    ],
    [
      'names what is allowed in that namespace, and not what is in others',
      subject('docker.io/library/nginx:1', { namespace: 'dev' }),
      'deny by default: Cannot use "docker.io/library/nginx:1" in namespace "dev": no rule of the admin\'s policy allows it; allowed there: "ghcr.io/*", "quay.io/acme/*", "registry.dev:5000/*"',
    ],
  ])('%s', (_name, about, expected) => {
    expect(verdict(SHOPS, about)).toBe(expected)
  })

  test('says that nothing is allowed where nothing is', () => {
    const none = policy('deny', '- {name: a, effect: allow, namespaces: [a]}\n')
    expect(verdict(none, subject('ghcr.io/a:1'))).toBe(
      'deny by default: Cannot use "ghcr.io/a:1" in namespace "shop": no rule of the admin\'s policy allows it; nothing is allowed there',
    )
  })

  test('that allows by default asks for TLS all the same', () => {
    const open = policy('allow', '- {name: no-hub, effect: deny, references: ["docker.io/*"]}\n')
    expect(verdict(open, subject('ghcr.io/a:1', { writable: true }))).toBe('allow by default')
    expect(verdict(open, subject('docker.io/a:1'))).toBe(
      'deny by no-hub: Cannot use "docker.io/a:1" in namespace "shop": the admin\'s policy denies it by rule "no-hub"',
    )
    expect(verdict(open, subject('ghcr.io/a:1', { plainHttp: true }))).toBe(
      'deny by default: Cannot use "ghcr.io/a:1" in namespace "shop": no rule of the admin\'s policy allows plain HTTP; leave "oras.options.plainhttp" out',
    )
    expect(verdict(open, subject('ghcr.io/a:1', { insecureTls: true }))).toBe(
      'deny by default: Cannot use "ghcr.io/a:1" in namespace "shop": no rule of the admin\'s policy allows unverified TLS; leave "oras.options.insecure" out',
    )
  })
})

describe('a policy that is not told the namespace', () => {
  const unknown = (reference: string): PolicySubject => ({
    ...subject(reference),
    namespace: undefined,
  })

  test.each<[string, string, string]>([
    [
      'denies what only some namespaces may use',
      'registry.dev:5000/app:1',
      'deny by default: Cannot use "registry.dev:5000/app:1" in a namespace that is not known: no rule of the admin\'s policy allows it; allowed there: "ghcr.io/*", "quay.io/acme/*"',
    ],
    ['allows what all may use', 'quay.io/acme/app:1', 'allow by lax'],
    [
      'denies what a rule for some namespaces refuses',
      'ghcr.io/acme/app:1',
      'deny by strict: Cannot use "ghcr.io/acme/app:1" in a namespace that is not known: rule "strict" of the admin\'s policy demands a digest; expected "ghcr.io/acme/app:1@sha256:...", which "oras resolve ghcr.io/acme/app:1" tells',
    ],
    ['allows what those rules do not refuse', `ghcr.io/acme/app@${DIGEST}`, 'allow by lax'],
  ])('%s', (_name, reference, expected) => {
    expect(verdict(SHOPS, unknown(reference))).toBe(expected)
  })

  test('denies what is denied in some namespace', () => {
    const some = policy('allow', '- {name: no, effect: deny, namespaces: [a]}\n')
    expect(verdict(some, unknown('ghcr.io/a:1'))).toMatch(/^deny by no/)
  })

  test('holds an artifact against the limits of every rule that might be meant', () => {
    const about = unknown(`ghcr.io/acme/app@${DIGEST}`)
    const decision = decide(SHOPS, about)
    if (decision.effect === 'deny') throw new Error(decision.message)
    expect(contentBreach(decision.limits, about, { bytes: 1001 })?.message).toMatch(
      /rule "strict" .* 1000 bytes/,
    )
  })

  test('allows nothing that it would deny in some namespace', () => {
    fc.assert(
      fc.property(
        anyPolicy(),
        anySubject(),
        fc.constantFrom('a', 'b', 'ab', 'c'),
        (some, about, namespace) => {
          const strict = decide(some, { ...about, namespace: undefined })
          if (strict.effect === 'deny') return
          const known = decide(some, { ...about, namespace })
          expect(known.effect).toBe('allow')
          // And limits it at least as much.
          for (const bytes of [0, 1, 2, 3]) {
            if (
              known.effect === 'deny' ||
              contentBreach(known.limits, about, { bytes }) === undefined
            )
              continue
            expect(contentBreach(strict.limits, about, { bytes })).toBeDefined()
          }
        },
      ),
      { numRuns: 2000 },
    )
  })
})

describe('the limits of a rule', () => {
  const about = subject(`ghcr.io/acme/app@${DIGEST}`)
  const decision = decide(SHOPS, about)
  if (decision.effect === 'deny') throw new Error(decision.message)
  const name = `Cannot use "ghcr.io/acme/app@${DIGEST}" in namespace "shop": rule "strict" of the admin's policy allows at most`

  test.each<[string, { bytes?: number; files?: number }, string | undefined]>([
    ['take what is just as large', { bytes: 1000, files: 10 }, undefined],
    ['refuse one byte more', { bytes: 1001 }, `${name} 1000 bytes, and this artifact has 1001`],
    [
      'refuse one file more',
      { files: 11 },
      `${name} 10 files, directories and links, and this artifact has 11`,
    ],
    ['say nothing where nothing is known', {}, undefined],
  ])('%s', (_name, facts, expected) => {
    expect(contentBreach(decision.limits, about, facts)?.message).toBe(expected)
  })
})

describe('any policy', () => {
  test('decides by the first rule that matches, and by no other', () => {
    fc.assert(
      fc.property(anyPolicy(), anySubject(), (some, about) => {
        const { rule } = decide(some, about)
        if (rule === undefined) return
        const upToIt = some.rules.slice(0, some.rules.indexOf(rule) + 1)
        const other = some.default === 'allow' ? 'deny' : 'allow'
        const cut = decide({ rules: upToIt, default: other }, about)
        expect([cut.effect, cut.rule]).toStrictEqual([decide(some, about).effect, rule])
      }),
    )
  })

  test('denies at least as much with a limit more', () => {
    fc.assert(
      fc.property(anyPolicy(), anySubject(), (some, about) => {
        const stricter = some.rules.map((rule) =>
          rule.effect === 'deny'
            ? rule
            : { ...rule, requireDigest: true, writable: false, plainHttp: false },
        )
        if (decide(some, about).effect === 'allow') return
        expect(decide({ ...some, rules: stricter }, about).effect).toBe('deny')
      }),
    )
  })
})

function anyPolicy(): fc.Arbitrary<Policy> {
  const namespaces = fc.option(
    fc.subarray(['a', 'b', 'a*', '*b', '*'], { minLength: 1, maxLength: 2 }),
  )
  const references = fc.option(
    fc.subarray(['x.test/*', 'x.test/a', '*.test/b', '*/a'], { minLength: 1, maxLength: 2 }),
  )
  const rule = fc.record({
    namespaces,
    references,
    effect: fc.constantFrom('allow', 'deny'),
    limits: fc.record(
      {
        requireDigest: fc.boolean(),
        writable: fc.boolean(),
        plainHttp: fc.boolean(),
        maxBytes: fc.integer({ min: 1, max: 3 }),
      },
      { requiredKeys: [] },
    ),
  })
  return fc
    .tuple(fc.array(rule, { maxLength: 5 }), fc.constantFrom('allow', 'deny'))
    .map(([rules, byDefault]) => {
      const last = rules.findIndex((one) => one.namespaces === null && one.references === null)
      const reachable = last < 0 ? rules : rules.slice(0, last + 1)
      const written = reachable.map((one, at) => ({
        ...{ name: `r${at}`, effect: one.effect },
        ...(one.namespaces && { namespaces: one.namespaces }),
        ...(one.references && { references: one.references }),
        ...(one.effect === 'allow' && one.limits),
      }))
      return parsePolicy(
        JSON.stringify({
          ...{ apiVersion: 'csi.oras.land/v1alpha1', kind: 'Policy' },
          ...{ default: byDefault, rules: written },
        }),
      )
    })
}

function anySubject(): fc.Arbitrary<PolicySubject> {
  return fc.record({
    namespace: fc.constantFrom('a', 'b', 'ab', 'c'),
    reference: fc
      .constantFrom('x.test/a:1', 'x.test/b:1', `y.test/b@${DIGEST}`, `x.test/a@${DIGEST}`)
      .map(parseReference),
    writable: fc.boolean(),
    plainHttp: fc.boolean(),
    insecureTls: fc.boolean(),
  })
}

import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { isCodedError } from '../../../common/errors.ts'
import { parsePolicy } from '../../../common/policy/parse-policy.ts'
import { thrownBy } from '../../support/thrown.ts'

const HEAD = 'apiVersion: csi.oras.land/v1alpha1\nkind: Policy\n'
const policy = (...rules: string[]) => `${HEAD}default: deny\nrules:\n${rules.join('')}`
const rule = (...lines: string[]) => `- name: r\n  effect: allow\n  ${lines.join('\n  ')}\n`

describe('a policy', () => {
  test('is read whole', () => {
    const text = `${HEAD}rules:
- name: no-legacy
  references: ["GHCR.io/acme/legacy/*"]
  effect: deny
- name: shops
  namespaces: [shop, "shop-*"]
  references: ["ghcr.io/acme/*", "registry.acme.example:5000/*"]
  effect: allow
  requireDigest: true
  maxBytes: 5Gi
  maxFiles: 10000
  writable: false
  plainHttp: true
  insecureTls: true
- name: rest
  effect: allow
  maxBytes: 1000
default: deny
`
    expect(parsePolicy(text)).toStrictEqual({
      rules: [
        {
          name: 'no-legacy',
          line: 4,
          references: [
            { text: 'GHCR.io/acme/legacy/*', host: 'ghcr.io', repository: 'acme/legacy/*' },
          ],
          effect: 'deny',
        },
        {
          name: 'shops',
          line: 7,
          namespaces: ['shop', 'shop-*'],
          references: [
            { text: 'ghcr.io/acme/*', host: 'ghcr.io', repository: 'acme/*' },
            {
              text: 'registry.acme.example:5000/*',
              host: 'registry.acme.example',
              port: '5000',
              repository: '*',
            },
          ],
          effect: 'allow',
          requireDigest: true,
          maxBytes: 5 * 1024 ** 3,
          maxFiles: 10_000,
          writable: false,
          plainHttp: true,
          insecureTls: true,
        },
        {
          name: 'rest',
          line: 17,
          effect: 'allow',
          requireDigest: false,
          maxBytes: 1000,
          writable: true,
          plainHttp: false,
          insecureTls: false,
        },
      ],
      default: 'deny',
    })
  })

  test('is as its documentation shows it', async () => {
    const source = await readFile(
      new URL('../../../common/policy/policy.ts', import.meta.url),
      'utf8',
    )
    const example = /```yaml\n(.*?)```/s.exec(source)?.[1]?.replaceAll(/^ \* ?/gm, '') ?? ''
    const { rules, default: byDefault } = parsePolicy(example)
    expect([...rules.map(({ name, effect }) => `${name} ${effect}`), byDefault]).toStrictEqual([
      ...['no-legacy deny', 'shops allow', 'deny'],
    ])
  })

  test('may have no rules, and may be JSON', () => {
    const json = '{"apiVersion":"csi.oras.land/v1alpha1","kind":"Policy","default":"allow"}'
    expect(parsePolicy(json)).toStrictEqual({ rules: [], default: 'allow' })
  })

  test.each<[string, string, string]>([
    [
      'nothing',
      '# later\n',
      'policy: found nothing; expected "apiVersion: csi.oras.land/v1alpha1", "kind: Policy", "rules" and "default"',
    ],
    [
      'a list',
      '- a\n',
      'policy (line 1, column 1): found a list; expected "apiVersion: csi.oras.land/v1alpha1", "kind: Policy", "rules" and "default"',
    ],
    [
      'another version',
      'apiVersion: csi.oras.land/v1\nkind: Policy\ndefault: deny\n',
      'policy.apiVersion (line 1, column 13): found "csi.oras.land/v1"; expected "csi.oras.land/v1alpha1"',
    ],
    [
      'another kind',
      'apiVersion: csi.oras.land/v1alpha1\nkind: policy\ndefault: deny\n',
      'policy.kind (line 2, column 7): found "policy"; expected "Policy"',
    ],
    [
      'no default',
      `${HEAD}rules: []\n`,
      'policy (line 1, column 1): has no "default"; expected e.g. "default: deny"',
    ],
    [
      'a default that is neither',
      `${HEAD}default: denny\n`,
      'policy.default (line 3, column 10): found "denny"; expected "allow" or "deny"; did you mean "deny"?',
    ],
    [
      'an unknown field',
      `${HEAD}default: deny\nrule: []\n`,
      'policy.rule (line 4, column 1): unknown field "rule"; did you mean "rules"?',
    ],
    [
      'an alias',
      `${HEAD}default: &d deny\n`,
      'policy.default (line 3, column 13): found a YAML anchor ("&"), which is not allowed',
    ],
    [
      'rules that are no list',
      `${HEAD}default: deny\nrules: all\n`,
      'policy.rules (line 4, column 8): found "all"; expected a list of rules',
    ],
    [
      'a rule that is none',
      policy('- all\n'),
      'policy.rules[0] (line 5, column 3): found "all"; expected a rule: "name: ...", "effect: allow"',
    ],
    [
      'a rule without a name',
      policy('- effect: allow\n'),
      'policy.rules[0] (line 5, column 3): has no "name"; expected e.g. "name: my-rule"',
    ],
    [
      'a rule without an effect: a deny rule that forgot it would allow',
      policy('- name: r\n'),
      'policy.rules[0] (line 5, column 3): has no "effect"; expected e.g. "effect: allow"',
    ],
    [
      'a name that a log line cannot show',
      policy('- name: "a b"\n  effect: deny\n'),
      'policy.rules[0].name (line 5, column 9): found "a b"; expected up to 63 letters, digits, ".", "_" and "-", beginning and ending with a letter or digit',
    ],
    [
      'a misspelt limit, which would limit nothing',
      policy(rule('maxByte: 5Gi')),
      'policy.rules[0].maxByte (line 7, column 3): unknown field "maxByte"; did you mean "maxBytes"?',
    ],
    [
      'a limit in a rule that denies',
      policy('- name: r\n  effect: deny\n  requireDigest: true\n'),
      'policy.rules[0].requireDigest (line 7, column 3): has no meaning in a rule with "effect: deny", which denies whatever matches; expected it in a rule with "effect: allow"',
    ],
    [
      'text for a boolean',
      policy(rule('requireDigest: "true"')),
      'policy.rules[0].requireDigest (line 7, column 18): found "true"; expected true or false, without quotes',
    ],
    [
      'a size without sense',
      policy(rule('maxBytes: 5GB')),
      'policy.rules[0].maxBytes (line 7, column 13): found "5GB"; expected bytes, as a number and perhaps a unit, e.g. "500M" or "5Gi"',
    ],
    [
      'half a file',
      policy(rule('maxFiles: 0.5')),
      'policy.rules[0].maxFiles (line 7, column 13): found the number 0.5; expected a whole number from 1 to 1000000000',
    ],
    [
      'a namespace that is none',
      policy(rule('namespaces: [Team_A]')),
      'policy.rules[0].namespaces[0] (line 7, column 16): found "Team_A"; expected the name of a namespace, or a glob with "*", e.g. "team-*"',
    ],
    [
      'an empty list: it could mean none or all',
      policy(rule('namespaces: []')),
      'policy.rules[0].namespaces (line 7, column 15): found an empty list; leave "namespaces" out to mean all',
    ],
    [
      'text for a list',
      policy(rule('references: ghcr.io/acme/*')),
      'policy.rules[0].references (line 7, column 15): found "ghcr.io/acme/*"; expected a list',
    ],
    [
      'a glob that matches hosts of anybody',
      policy(rule('references: ["ghcr.io*/acme/*"]')),
      'policy.rules[0].references[0] (line 7, column 16): "ghcr.io*/acme/*" has "*" in the last part of its host, and so would match hosts of anybody; expected the end of the host, e.g. "*.acme.example/*", or "*/..." for every registry',
    ],
    [
      'two rules of one name',
      policy(rule('namespaces: [a]'), rule('namespaces: [b]')),
      'policy.rules[1] (line 8, column 3): a rule on line 5 is called "r" too; expected a name of its own',
    ],
    [
      'a rule that nothing can reach',
      policy('- name: all\n  effect: allow\n', rule('namespaces: [b]')),
      'policy.rules[1] (line 7, column 3): no source can reach it: rule "all" on line 5 matches everything, and the first match decides; expected that rule to be the last',
    ],
  ])('with %s is refused', (_name, text, message) => {
    expect(thrownBy(() => parsePolicy(text))).toBe(`INVALID Invalid ${message}`)
  })

  test('with a field twice is refused: two readers could see two meanings', () => {
    const text = `${HEAD}default: deny\ndefault: allow\n`
    expect(thrownBy(() => parsePolicy(text))).toMatch(
      /^INVALID Invalid policy\.default \(line 4, column 1\): found twice, first on line 3/,
    )
  })

  test('of any text is read or refused as INVALID', () => {
    const word = fc.constantFrom(
      ...['apiVersion', 'csi.oras.land/v1alpha1', 'kind', 'Policy', 'rules', 'default', 'deny'],
      ...[
        'name',
        'effect',
        'allow',
        'references',
        'namespaces',
        'maxBytes',
        '"*/*"',
        '5Gi',
        'true',
      ],
      ...[': ', '\n', '\n  ', '- ', '[', ']', '{', '}', ', ', '*', '&a', '!!x', '#', '"'],
    )
    const text = fc.oneof(
      fc.array(word, { maxLength: 40 }).map((words) => words.join('')),
      fc.array(word, { maxLength: 30 }).map((words) => HEAD + words.join('')),
      fc.string({ maxLength: 200, unit: 'binary' }),
    )
    fc.assert(
      fc.property(text, (any) => {
        try {
          parsePolicy(any)
        } catch (error) {
          expect(isCodedError(error, 'INVALID')).toBe(true)
        }
      }),
      { numRuns: 1000 },
    )
  })

  test('means what it says, however it is written: every rule comes back', () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}[a-z0-9]$/)
    const allow = fc.record(
      {
        namespaces: fc.array(name, { minLength: 1, maxLength: 3 }),
        requireDigest: fc.boolean(),
        maxBytes: fc.integer({ min: 1, max: 2 ** 50 }),
        maxFiles: fc.integer({ min: 1, max: 1_000_000_000 }),
        writable: fc.boolean(),
        plainHttp: fc.boolean(),
        insecureTls: fc.boolean(),
      },
      { requiredKeys: ['namespaces'] },
    )
    fc.assert(
      fc.property(
        fc.array(allow, { maxLength: 5 }),
        fc.constantFrom('allow', 'deny'),
        (rules, byDefault) => {
          const written = rules.map((one, at) => ({ name: `r${at}`, effect: 'allow', ...one }))
          const document = {
            ...{ apiVersion: 'csi.oras.land/v1alpha1', kind: 'Policy' },
            ...{ default: byDefault, rules: written },
          }
          const read = parsePolicy(stringify(document))
          expect(parsePolicy(JSON.stringify(document)).default).toBe(byDefault)
          expect(read.rules).toStrictEqual(
            written.map((one, at) => ({
              ...{ requireDigest: false, writable: true, plainHttp: false, insecureTls: false },
              ...one,
              line: read.rules[at]?.line,
            })),
          )
        },
      ),
    )
  })
})

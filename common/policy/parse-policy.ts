import { parseAnnotationDocument } from '../composition/annotation-document.ts'
import { type AnnotationValue, describe, quote } from '../composition/annotation-value.ts'
import { invalidAt } from '../composition/finding.ts'
import { fieldOf, findField, readEffect, readWord, refuseUnknownFields } from './mapping-field.ts'
import { readRule } from './parse-rule.ts'
import { POLICY_API_VERSION, POLICY_KIND, type Policy, type PolicyRule } from './policy.ts'

const FIELDS = ['apiVersion', 'kind', 'rules', 'default'] as const

/**
 * Reads a policy of YAML or JSON. Strict: a field that does not exist, a key twice, a wrong type, a glob that matches hosts of anybody, two
 * rules of one name, a rule that no source can reach are refused; so are aliases, tags and control characters. The caller caps the size.
 *
 * @throws INVALID with the place, line and column, what was found and what was expected
 */
export function parsePolicy(text: string): Policy {
  const document = parseAnnotationDocument('policy', text)
  if (document?.kind !== 'mapping') {
    throw invalidAt(
      document?.place ?? { path: 'policy' },
      `found ${document === undefined ? 'nothing' : describe(document)}; expected "apiVersion: ${POLICY_API_VERSION}", "kind: ${POLICY_KIND}", "rules" and "default"`,
    )
  }
  refuseUnknownFields(document, FIELDS)
  readWord(fieldOf(document, 'apiVersion', POLICY_API_VERSION), [POLICY_API_VERSION])
  readWord(fieldOf(document, 'kind', POLICY_KIND), [POLICY_KIND])
  const rules = findField(document, 'rules')
  const effect = readEffect(fieldOf(document, 'default', 'deny'))
  return { rules: rules === undefined ? [] : readRules(rules), default: effect }
}

function readRules(value: AnnotationValue): readonly PolicyRule[] {
  if (value.kind !== 'list') {
    throw invalidAt(value.place, `found ${describe(value)}; expected a list of rules`)
  }
  const rules: PolicyRule[] = []
  for (const item of value.items) {
    const rule = readRule(item)
    const same = rules.find(({ name }) => name === rule.name)
    if (same !== undefined) {
      throw invalidAt(
        item.place,
        `a rule on line ${same.line} is called ${quote(rule.name)} too; expected a name of its own`,
      )
    }
    const before = rules.find(
      ({ namespaces, references }) => namespaces === undefined && references === undefined,
    )
    if (before !== undefined) {
      throw invalidAt(
        item.place,
        `no source can reach it: rule ${quote(before.name)} on line ${before.line} matches everything, and the first match decides; expected that rule to be the last`,
      )
    }
    rules.push(rule)
  }
  return rules
}

import { expect, test } from 'vitest'
import { parseFlags } from '../../common/flags.ts'
import { ACCESS_FLAGS, accessRulesOf } from '../../driver/access-flags.ts'
import { DEFAULT_ACCESS_RULES } from '../../driver/pull/access-rules.ts'

function parse(...argv: readonly string[]) {
  const parsed = parseFlags({ usage: 'driver', flags: ACCESS_FLAGS, argv, env: {} })
  if (parsed.help) throw new Error('Expected values')
  return accessRulesOf(parsed.values)
}

test('the flags that nobody gives are the rules that hold unless the admin says otherwise', () => {
  expect(parse()).toEqual(DEFAULT_ACCESS_RULES)
})

test('each flag changes its rule', () => {
  expect(
    parse('--access-max-age', '0s', '--refusal-memory', '1m', '--registry-patience', '500ms'),
  ).toEqual({ maxAgeMs: 0, refusalMs: 60_000, patienceMs: 500 })
})

test.for([
  ['--registry-patience', '0s'],
  ['--registry-patience', '600h'],
  ['--access-max-age', 'a day'],
] as const)('%s %s is refused', ([flag, value]) => {
  expect(() => parse(flag, value)).toThrow(flag)
})

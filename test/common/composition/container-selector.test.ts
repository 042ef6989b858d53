import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  formatContainerSelector,
  matchesPattern,
  parseContainerSelector,
} from '../../../common/composition/container-selector.ts'

describe('parseContainerSelector', () => {
  test.each([
    ['app', { pattern: 'app', init: false, optional: false }],
    ['worker-*', { pattern: 'worker-*', init: false, optional: false }],
    ['*', { pattern: '*', init: false, optional: false }],
    ['init:setup', { pattern: 'setup', init: true, optional: false }],
    ['init:s*?', { pattern: 's*', init: true, optional: true }],
    ['app?', { pattern: 'app', init: false, optional: true }],
  ])('reads %s, and formatContainerSelector writes it back', (text, selector) => {
    expect(parseContainerSelector(text)).toStrictEqual(selector)
    expect(formatContainerSelector(selector)).toBe(text)
  })

  test.each(['', '?', 'init:', 'App', 'a b', '-a', 'a-', 'a.b', 'a??', 'a'.repeat(64)])(
    'gives undefined for %j',
    (text) => {
      expect(parseContainerSelector(text)).toBeUndefined()
    },
  )
})

describe('matchesPattern', () => {
  test.each([
    ['app', 'app', true],
    ['app', 'app2', false],
    ['*', 'anything', true],
    ['app*', 'app', true],
    ['*app', 'myapp', true],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['a*b*a', 'aba', true],
    ['a*b*a', 'aa', false],
    ['*ab*bc', 'abc', false],
  ])('%s and %s: %s', (pattern, name, expected) => {
    expect(matchesPattern(pattern, name)).toBe(expected)
  })

  test('agrees with a regular expression', () => {
    const text = fc.stringMatching(/^[ab]{0,8}$/)
    const pattern = fc.stringMatching(/^[ab*]{1,6}$/)
    fc.assert(
      fc.property(pattern, text, (glob, name) => {
        const expected = new RegExp(`^${glob.replaceAll('*', '.*')}$`).test(name)
        expect(matchesPattern(glob, name)).toBe(expected)
      }),
      { numRuns: 500 },
    )
  })
})

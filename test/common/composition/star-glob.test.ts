import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { matchesStarGlob } from '../../../common/composition/star-glob.ts'

describe('matchesStarGlob', () => {
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
    expect(matchesStarGlob(pattern, name)).toBe(expected)
  })

  test('agrees with a regular expression', () => {
    const text = fc.stringMatching(/^[ab]{0,8}$/)
    const pattern = fc.stringMatching(/^[ab*]{1,6}$/)
    fc.assert(
      fc.property(pattern, text, (glob, name) => {
        const expected = new RegExp(`^${glob.replaceAll('*', '.*')}$`).test(name)
        expect(matchesStarGlob(glob, name)).toBe(expected)
      }),
      { numRuns: 500 },
    )
  })
})

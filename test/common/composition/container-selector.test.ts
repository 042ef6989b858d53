import { describe, expect, test } from 'vitest'
import {
  formatContainerSelector,
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

import { expect, test } from 'vitest'
import { didYouMean, nearest } from '../../common/suggest.ts'

const CANDIDATES = ['reference', 'path', 'unpack', 'platform']

test.each([
  ['refrence', 'reference'],
  ['PATH', 'path'],
  ['unpakc', 'unpack'],
  ['something', undefined],
  ['', undefined],
])('nearest to "%s" is %s', (word, expected) => {
  expect(nearest(word, CANDIDATES)).toBe(expected)
})

test('there is nothing near where there are no candidates', () => {
  expect([nearest('a', []), didYouMean('a', [])]).toStrictEqual([undefined, ''])
})

test('a hint is written only when there is one', () => {
  expect([didYouMean('platfrom', CANDIDATES), didYouMean('zzz', CANDIDATES)]).toStrictEqual([
    '; did you mean "platform"?',
    '',
  ])
})

import { expect, test } from 'vitest'
import { shownJson, shownText } from '../../common/shown-text.ts'

test.each<[string, string, number, string]>([
  ['plain text as it is', 'größe ✓ 😀', 100, 'größe ✓ 😀'],
  ['controls', 'a\u0000\n\u001B[2J\u007F\u009B', 100, 'a\\u{0}\\u{A}\\u{1B}[2J\\u{7F}\\u{9B}'],
  ['the attack: text that reads from right to left', 'a\u202Eb', 100, 'a\\u{202E}b'],
  ['half a character', 'a\uD800', 100, 'a\\u{D800}'],
  ['what is just as long', 'abc', 3, 'abc'],
  ['what is longer, cut', 'abcd', 3, 'ab…'],
])('shows %s', (_name, text, maxLength, expected) => {
  expect(shownText(text, maxLength)).toBe(expected)
})

test('the attack: a line of JSON with characters that a terminal obeys keeps its meaning without them', () => {
  const value = { 'a\u202Eb': 'größe ✓ 😀 \u009B2J\u007F\u2028\u{E0041}\n\u0000' }
  const line = shownJson(`${JSON.stringify(value)}\n`)
  expect(line).toMatch(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+\n$/u)
  expect(JSON.parse(line)).toStrictEqual(value)
})

import { expect, test } from 'vitest'
import { parseBody } from '../../webhook/parse-body.ts'
import { Refusal } from '../../webhook/refusal.ts'

/** What it throws, as status and message. */
function refusalOf(bytes: Buffer): unknown {
  try {
    return parseBody(bytes)
  } catch (error) {
    return error instanceof Refusal ? [error.status, error.message] : error
  }
}

test('keeps a key "__proto__", which is data', () => {
  const parsed = parseBody(Buffer.from('{"__proto__":{"a":1}}'))
  expect(JSON.stringify(parsed)).toBe('{"__proto__":{"a":1}}')
})

test.each<[string, Buffer, [number, string]]>([
  ['nothing', Buffer.alloc(0), [400, 'The body is not valid JSON']],
  ['half an object', Buffer.from('{"a":'), [400, 'The body is not valid JSON']],
  [
    'bytes that are no UTF-8',
    Buffer.from([0x22, 0x80, 0x22]),
    [400, 'The body is not valid UTF-8'],
  ],
])('refuses %s', (_name, bytes, expected) => {
  expect(refusalOf(bytes)).toStrictEqual(expected)
})

test.each<[string, string, number]>([
  ['objects', `[${'{},'.repeat(200_000)}1]`, 400_001],
  ['lists in lists', '['.repeat(400_001), 400_001],
  ['members', `{${'"a":1,'.repeat(400_000)}"b":1}`, 400_001],
])('the attack: so many %s that they fill the memory', (_name, text, parts) => {
  expect(refusalOf(Buffer.from(text))).toStrictEqual([
    413,
    `The body has ${parts} parts; expected at most 400000`,
  ])
})

test('reads as many parts as the largest objects have', () => {
  const text = `[${'{},'.repeat(199_999)}1]`
  expect(parseBody(Buffer.from(text))).toHaveLength(200_000)
})

import { expect, test } from 'vitest'
import { createLayoutIndexCache } from '../../../common/oci/layout-index-cache.ts'
import type { HttpAnswer } from '../../../common/oci/transport.ts'

const INDEX = { find: () => undefined }
const MIB = 1024 * 1024

/** An answer of nginx, whose index.json is so many seconds old. */
function answer(fields: Readonly<Record<string, string>> = {}, age = 60): HttpAnswer {
  const headers: Readonly<Record<string, string>> = {
    etag: '"1"',
    date: new Date(1_700_000_000_000).toUTCString(),
    'last-modified': new Date(1_700_000_000_000 - age * 1000).toUTCString(),
    ...fields,
  }
  const body = {
    dump: async () => undefined,
    on: () => body,
    destroy: () => undefined,
    async *[Symbol.asyncIterator]() {},
  }
  return { status: 200, header: (name) => headers[name] || undefined, body }
}

test.each([
  ['long ago is remembered', answer(), true],
  ['two seconds ago is remembered', answer({}, 2), true],
  ['a second ago is not', answer({}, 1), false],
  ['later than now, by a clock that is wrong, is not', answer({}, -60), false],
  ['at a time that cannot be read is not', answer({ 'last-modified': 'yesterday' }), false],
  ['at a time, by a server that does not say its own, is not', answer({ date: '' }), false],
  ['at a time that the server does not say is remembered', answer({ 'last-modified': '' }), true],
  ['and has no ETag is not', answer({ etag: '' }), false],
])('an index that was written %s', (_, from, isKnown) => {
  const cache = createLayoutIndexCache()
  cache.set('a', from, { index: INDEX, bytes: 10 })
  expect(cache.get('a') !== undefined).toBe(isKnown)
})

test('an index is not remembered for long: its server may call all versions the same', () => {
  let nowMs = 0
  const cache = createLayoutIndexCache(() => nowMs)
  cache.set('a', answer(), { index: INDEX, bytes: 10 })
  nowMs = 599_999
  expect(cache.get('a')?.etag).toBe('"1"')
  nowMs = 600_000
  expect(cache.get('a')).toBeUndefined()
})

test('the oldest indexes go when there are too many bytes of them, and a large one is not remembered', () => {
  const cache = createLayoutIndexCache()
  for (const url of ['a', 'b', 'c']) {
    cache.set(url, answer(), { index: INDEX, bytes: 1.5 * MIB })
  }
  cache.set('d', answer(), { index: INDEX, bytes: 5 * MIB })
  const known = ['a', 'b', 'c', 'd'].filter((url) => cache.get(url) !== undefined)
  expect(known).toEqual(['b', 'c'])
})

test('a newer version takes the place of an older one', () => {
  const cache = createLayoutIndexCache()
  for (const etag of ['"1"', '"2"']) {
    for (let i = 0; i < 4; i++) cache.set('a', answer({ etag }), { index: INDEX, bytes: 3 * MIB })
  }
  expect(cache.get('a')?.etag).toBe('"2"')
  cache.set('a', answer({ etag: '' }), { index: INDEX, bytes: 1 })
  expect(cache.get('a')).toBeUndefined()
})

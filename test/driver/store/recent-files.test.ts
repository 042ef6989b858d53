import { expect, test } from 'vitest'
import { createRecentFiles } from '../../../driver/store/recent-files.ts'

const anything = () => true

test('a file that was read lately is not read again, until it has changed', async () => {
  const files = createRecentFiles<string>(anything)
  let reads = 0
  const read = async () => `read ${++reads}`
  expect(await files.get('a', read)).toBe('read 1')
  expect(await files.get('a', read)).toBe('read 1')
  files.forget('b')
  expect(await files.get('a', read)).toBe('read 1')
  files.forget('a')
  expect(await files.get('a', read)).toBe('read 2')
})

test('what is not there, or large, is read each time', async () => {
  const files = createRecentFiles<string>((value) => value.length < 3)
  let content: string | undefined
  const read = async () => content
  expect(await files.get('a', read)).toBeUndefined()
  content = 'long'
  expect(await files.get('a', read)).toBe('long')
  content = 'x'
  expect(await files.get('a', read)).toBe('x')
  content = 'y'
  expect(await files.get('a', read)).toBe('x')
})

test('what was read while the file changed is not taken for what it says now', async () => {
  const files = createRecentFiles<string>(anything)
  const slow = Promise.withResolvers<string>()
  const first = files.get('a', () => slow.promise)
  files.forget('a')
  slow.resolve('before')
  expect(await first).toBe('before')
  expect(await files.get('a', async () => 'after')).toBe('after')
})

test('the file that was used longest ago is forgotten when there are too many', async () => {
  const files = createRecentFiles<number>(anything)
  for (let index = 0; index < 1_024; index += 1) await files.get(String(index), async () => index)
  await files.get('0', async () => -1)
  await files.get('one more', async () => 1_024)
  expect(await files.get('0', async () => -1)).toBe(0)
  expect(await files.get('1', async () => -1)).toBe(-1)
})

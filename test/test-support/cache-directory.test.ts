import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { cacheKey } from '../support/cache-directory.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

test('a key changes with a text, with the content of a file, and with where one part ends', async () => {
  await using directory = await temporaryDirectory()
  const file = directory.file('go.mod')
  await writeFile(file, 'go 1.26')
  const first = await cacheKey(['ab', 'c', { file }])
  expect(first).toMatch(/^[0-9a-f]{16}$/)
  expect(await cacheKey(['ab', 'c', { file }])).toBe(first)
  const others = [await cacheKey(['a', 'bc', { file }]), await cacheKey(['ab', 'd', { file }])]
  await writeFile(file, 'go 1.27')
  others.push(await cacheKey(['ab', 'c', { file }]))
  expect(new Set([first, ...others]).size).toBe(4)
})

import { readdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { startProcess } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

test('the image is built with the code of threads and helper processes compiled', async () => {
  await using directory = await temporaryDirectory()
  await using process = startProcess({
    args: ['driver/compile-cache.ts'],
    env: { NODE_COMPILE_CACHE: directory.path },
  })
  expect({ exit: await process.exited, output: process.output() }).toEqual({
    ...{ exit: { code: 0, signal: null }, output: '' },
  })
  const files = await readdir(directory.path, { recursive: true })
  expect(files.length).toBeGreaterThan(100)
})

import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { startProcess } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const VITEST = new URL('../../node_modules/vitest/vitest.mjs', import.meta.url).pathname
const VITEST_MODULE = new URL('../../node_modules/vitest/dist/index.js', import.meta.url).pathname
const REPORTER = new URL('../support/repeat-reporter.ts', import.meta.url).pathname

test('a test that passes when it is repeated is named with why it failed first; the others are not', async () => {
  await using directory = await temporaryDirectory()
  await writeFile(
    directory.file('a.test.ts'),
    `import { describe, expect, test } from ${JSON.stringify(VITEST_MODULE)}
     let times = 0
     test('is well', () => {})
     describe('outer', () => {
       test('is late', () => {
         times += 1
         if (times === 1) throw new Error('too early\\nwith more')
       })
     })`,
  )
  await writeFile(
    directory.file('vitest.config.ts'),
    `import { repeatReporter } from ${JSON.stringify(REPORTER)}
     export default { test: { retry: 1, reporters: ['default', repeatReporter()] } }`,
  )
  await using run = startProcess({
    args: [VITEST, 'run', '--root', directory.path],
    cwd: directory.path,
    env: { NO_COLOR: '1' },
  })
  expect(await run.exited, run.output()).toEqual({ code: 0, signal: null })
  const named = run.output().match(/Passed when repeated:.*$/gm)
  expect(named).toEqual(['Passed when repeated: a.test.ts > outer > is late: too early'])
})

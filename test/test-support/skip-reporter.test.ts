import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { startProcess } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const VITEST = new URL('../../node_modules/vitest/vitest.mjs', import.meta.url).pathname
const VITEST_MODULE = new URL('../../node_modules/vitest/dist/index.js', import.meta.url).pathname
const REPORTER = new URL('../support/skip-reporter.ts', import.meta.url).pathname
const REASON = 'mounting needs root with CAP_SYS_ADMIN'

test.each([
  { ci: 'true', allowed: [], code: 1 },
  { ci: 'true', allowed: [{ test: 'a.test.ts > outer > mounts', reason: REASON }], code: 0 },
  { ci: 'true', allowed: [{ test: 'a.test.ts > outer > mounts', reason: 'lazy' }], code: 1 },
  { ci: '', allowed: [], code: 0 },
])(
  'a run with CI=$ci where $allowed may be skipped ends with $code',
  async ({ ci, allowed, code }) => {
    await using directory = await temporaryDirectory()
    await writeFile(
      directory.file('a.test.ts'),
      `import { describe, test } from ${JSON.stringify(VITEST_MODULE)}
     test('runs', () => {})
     describe('outer', () => { test('mounts', ({ skip }) => skip(true, ${JSON.stringify(REASON)})) })`,
    )
    await writeFile(
      directory.file('vitest.config.ts'),
      `import { skipReporter } from ${JSON.stringify(REPORTER)}
     export default { test: { reporters: ['default', skipReporter({ allowed: ${JSON.stringify(allowed)} })] } }`,
    )
    await using run = startProcess({
      args: [VITEST, 'run', '--root', directory.path],
      cwd: directory.path,
      env: { CI: ci, NO_COLOR: '1' },
    })
    const exit = await run.exited
    expect(run.output()).toContain(`Skipped: a.test.ts > outer > mounts: ${REASON}`)
    expect(exit, run.output()).toEqual({ code, signal: null })
    expect(run.output().includes('Not allowed to be skipped')).toBe(code === 1)
  },
)

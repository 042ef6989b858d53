import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { CHECKOUT } from '../manifests/manifest-objects.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { buildGoProgram } from './go-program.ts'

const run = promisify(execFile)

test('actionlint finds nothing wrong with the workflows, and something with a wrong one', async () => {
  const actionlint = await buildGoProgram('actionlint')
  const files = globSync('.github/workflows/*.yaml', { cwd: CHECKOUT })
  expect(files.length).toBeGreaterThanOrEqual(2)
  await run(actionlint, ['-shellcheck=', '-pyflakes=', ...files], { cwd: CHECKOUT })

  await using directory = await temporaryDirectory()
  const wrong = await readFile(join(CHECKOUT, '.github/workflows/check.yaml'), 'utf8')
  const path = directory.file('wrong.yaml')
  await writeFile(path, wrong.replace('runs-on:', 'run-on:'))
  await expect(run(actionlint, ['-shellcheck=', '-pyflakes=', path])).rejects.toMatchObject({
    stdout: expect.stringContaining('unexpected key "run-on"'),
  })
})

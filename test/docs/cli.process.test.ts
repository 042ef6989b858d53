import { mkdir, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { block, readDoc, textOf } from './blocks.ts'
import { openShell } from './shell.ts'

describe('what the pages tell to type without a registry', { timeout: 60_000 }, () => {
  test('install.md: the command line says what it can', async () => {
    const { stdout } = await typed(block('cli/help'))
    expect(stdout).toContain('Usage: oras-csi COMMAND [FLAGS]')
  })

  test('first-artifact.md: a mistake is told as the page shows it', async () => {
    const { stderr, status } = await typed(block('cli/first-mistake'), [1, 2])
    const [, shown = 'nothing'] =
      /```text\n(reference .*)\n```/.exec(readDoc('docs/first-artifact.md')) ?? []
    expect(stderr).toContain(shown)
    expect(status).not.toBe(0)
  })

  test('plug-ins.md: two sources become one volume', async () => {
    const { stdout } = await typed(block('cli/plug-ins'))
    expect(stdout).toContain('oras.sources:')
    expect(stdout.match(/driver: csi\.oras\.land/g)).toHaveLength(1)
  })

  test('gitops.md: manifests are checked before they are merged', async () => {
    await using directory = await temporaryDirectory()
    const shell = await openShell(directory)
    await mkdir(`${shell.cwd}/apps`)
    await writeFile(`${shell.cwd}/apps/hello.yaml`, textOf('composed/gitops'))
    await writeFile(`${shell.cwd}/policy.yaml`, textOf('policy/example'))
    expect(await shell.type(block('cli/lint'))).toMatchObject({ status: 0 })
  })

  test('policy.md: the policy is read and tried', async () => {
    await using directory = await temporaryDirectory()
    const shell = await openShell(directory)
    await writeFile(`${shell.cwd}/policy.yaml`, textOf('policy/example'))
    const { stdout } = await shell.type(block('cli/policy-check'))
    expect(stdout).toMatch(/^4 rules, default deny, sha256 [0-9a-f]{64}\n$/)
    const tried = await shell.type(block('cli/policy-test'), { accept: [1] })
    expect(tried.stdout.split('\n').map((line) => line.split(' ')[0])).toEqual([
      ...['allowed', 'denied', ''],
      '',
    ])
  })
})

async function typed(script: string, accept: readonly number[] = [0]) {
  await using directory = await temporaryDirectory()
  const shell = await openShell(directory)
  return await shell.type(script, { accept })
}

import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { runToEnd } from '../support/command.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const TIMEOUT_MS = 60_000
const POLICY = `apiVersion: csi.oras.land/v1alpha1
kind: Policy
rules:
- name: no-legacy
  references: ["ghcr.io/acme/legacy/*"]
  effect: deny
- name: shops
  namespaces: [shop]
  references: ["ghcr.io/acme/*"]
  effect: allow
  maxBytes: 1Ki
  maxFiles: 3
  writable: false
- name: base
  references: ["ghcr.io/acme/base/*"]
  effect: allow
default: deny
`

/** Runs `oras-csi policy` with `-f POLICY` as a file. */
async function policy(command: string, ...args: readonly string[]) {
  await using directory = await temporaryDirectory()
  const path = directory.file('policy.yaml')
  await writeFile(path, POLICY)
  return await run(['policy', command, '-f', path, ...args])
}

function run(args: readonly string[], input?: string) {
  return runToEnd(process.execPath, ['cli/main.ts', ...args], {
    ...(input !== undefined && { input }),
    accept: [0, 1, 2],
  })
}

describe('oras-csi policy test', { timeout: TIMEOUT_MS }, () => {
  test.each<[string, string[], number, string]>([
    [
      'says by which rule, and what is still to be kept',
      ['-n', 'shop', 'ghcr.io/acme/app:v1'],
      0,
      'allowed  ghcr.io/acme/app:v1  rule "shops" (line 7), up to 1024 bytes, up to 3 files, directories and links\n',
    ],
    [
      'says of several references why each is denied',
      ['-n', 'shop', 'ghcr.io/acme/legacy/x:1', 'docker.io/library/nginx', 'ghcr.io/acme/app:v1'],
      1,
      `denied   ghcr.io/acme/legacy/x:1  rule "no-legacy" (line 4)
         Cannot use "ghcr.io/acme/legacy/x:1" in namespace "shop": the admin's policy denies it by rule "no-legacy"; allowed there: "ghcr.io/acme/*", "ghcr.io/acme/base/*"
denied   docker.io/library/nginx  the default
         Cannot use "docker.io/library/nginx" in namespace "shop": no rule of the admin's policy allows it; allowed there: "ghcr.io/acme/*", "ghcr.io/acme/base/*"
allowed  ghcr.io/acme/app:v1  rule "shops" (line 7), up to 1024 bytes, up to 3 files, directories and links
`,
    ],
    [
      'holds a size against the rule',
      ['-n', 'shop', 'ghcr.io/acme/app:v1', '--size', '2Ki'],
      1,
      `denied   ghcr.io/acme/app:v1  rule "shops" (line 7)
         Cannot use "ghcr.io/acme/app:v1" in namespace "shop": rule "shops" of the admin's policy allows at most 1024 bytes, and this artifact has 2048
`,
    ],
    [
      'holds a number of files against it',
      ['-n', 'shop', 'ghcr.io/acme/app:v1', '--files', '4'],
      1,
      `denied   ghcr.io/acme/app:v1  rule "shops" (line 7)
         Cannot use "ghcr.io/acme/app:v1" in namespace "shop": rule "shops" of the admin's policy allows at most 3 files, directories and links, and this artifact has 4
`,
    ],
    [
      'takes the wishes of a pod',
      ['-n', 'shop', 'ghcr.io/acme/app:v1', '--writable'],
      1,
      `denied   ghcr.io/acme/app:v1  rule "shops" (line 7)
         Cannot use "ghcr.io/acme/app:v1" in namespace "shop": rule "shops" of the admin's policy allows no writable volumes; leave "readOnly: false" or "oras.options.writable" out
`,
    ],
    [
      'takes the wish for plain HTTP',
      ['-n', 'dev', 'ghcr.io/acme/base/app:v1', '--plain-http'],
      1,
      `denied   ghcr.io/acme/base/app:v1  rule "base" (line 14)
         Cannot use "ghcr.io/acme/base/app:v1" in namespace "dev": rule "base" of the admin's policy does not allow plain HTTP; leave "oras.options.plainhttp" out
`,
    ],
    [
      'without a namespace allows what all may have, within the limits of those rules that may be meant',
      ['ghcr.io/acme/base/app:v1'],
      0,
      'allowed  ghcr.io/acme/base/app:v1  rule "base" (line 14), up to 1024 bytes, up to 3 files, directories and links\n',
    ],
    [
      'writes JSON',
      ['-n', 'dev', '--json', 'ghcr.io/acme/base/app:v1', 'ghcr.io/acme/app:v1'],
      1,
      `${JSON.stringify(
        [
          {
            ...{ reference: 'ghcr.io/acme/base/app:v1', allowed: true },
            ...{ rule: 'base', line: 14, limits: [] },
          },
          {
            ...{ reference: 'ghcr.io/acme/app:v1', allowed: false },
            message:
              'Cannot use "ghcr.io/acme/app:v1" in namespace "dev": no rule of the admin\'s policy allows it; allowed there: "ghcr.io/acme/base/*"',
          },
        ],
        undefined,
        2,
      )}\n`,
    ],
  ])('%s', async (_name, args, code, stdout) => {
    expect(await policy('test', ...args)).toStrictEqual({ status: code, stdout, stderr: '' })
  })

  test('reads the policy from standard input', async () => {
    const args = ['policy', 'test', '-f', '-', '-n', 'dev', 'ghcr.io/acme/base/app:v1']
    expect(await run(args, POLICY)).toStrictEqual({
      ...{ status: 0, stderr: '' },
      stdout: 'allowed  ghcr.io/acme/base/app:v1  rule "base" (line 14)\n',
    })
    expect(await run(args, POLICY.replace('effect:', 'efect:'))).toStrictEqual({
      ...{ status: 2, stdout: '' },
      stderr:
        'Cannot use the policy file "stdin": invalid policy.rules[0].efect (line 6, column 3): unknown field "efect"; did you mean "effect"?\n',
    })
  })

  test.each<[string, string[], string]>([
    [
      'no reference',
      ['policy', 'test', '-f', 'x'],
      'Expected at least 1 arguments, found 0; usage: oras-csi policy test -f FILE [-n NAMESPACE] REFERENCE... [FLAGS]\n',
    ],
    [
      'a reference that is none',
      ['policy', 'test', '-f', 'x', 'nginx'],
      'Invalid reference "nginx": no registry; expected registry/repository:tag, e.g. "docker.io/library/nginx"\n',
    ],
    [
      'a file that is not there',
      ['policy', 'test', '-f', '/nowhere/policy.yaml', 'ghcr.io/a/b:1'],
      'Cannot read the policy file "/nowhere/policy.yaml": no such file\n',
    ],
    [
      'another command',
      ['policy', 'tes'],
      'Unknown command "policy tes"; did you mean "test"? (oras-csi policy --help lists them)\n',
    ],
  ])('answers %s with exit code 2', async (_name, args, stderr) => {
    expect(await run(args)).toStrictEqual({ status: 2, stdout: '', stderr })
  })
})

describe('oras-csi policy check', { timeout: TIMEOUT_MS }, () => {
  test('says what driver and webhook will read', async () => {
    const sha256 = createHash('sha256').update(POLICY).digest('hex')
    expect(await policy('check')).toStrictEqual({
      ...{ status: 0, stderr: '' },
      stdout: `3 rules, default deny, sha256 ${sha256}\n`,
    })
    const { stdout } = await policy('check', '--json')
    expect(JSON.parse(stdout)).toMatchObject({ sha256, default: 'deny', rules: [{}, {}, {}] })
  })
})

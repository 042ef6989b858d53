import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { findingText, workflowCommand } from '../../cli/finding-text.ts'
import { lint, lintManifest } from '../../cli/lint.ts'
import { runToEnd } from '../support/command.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { runCommand } from './command-run.ts'

const MAIN = join(import.meta.dirname, '../../cli/main.ts')
const WHY =
  'invalid reference "x": no registry, and neither tag nor digest; expected registry/repository:tag, e.g. "docker.io/library/x:latest"'
const ERROR = `error: Pod/web: Invalid oras.land/artifacts["/app"]: ${WHY}`

/** A pod whose annotation is written as given, from column 5 of line 6. */
const pod = (annotation: string) => `apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    ${annotation}
spec: {containers: [{name: app}]}
`
const GOOD = pod('oras.land/artifacts: "/app: ghcr.io/acme/app:v1"')
const BAD = pod('oras.land/artifacts: "/app: x"')
const MOVING = pod('oras.land/artifacts: "/app: ghcr.io/acme/app:latest"')
const WARNING =
  'warning: Pod/web: Tag "latest" moves: pods may differ; expected a version or digest in "ghcr.io/acme/app:latest"'

/** Runs `oras-csi lint - ...`. */
const linted = (input: string, ...args: readonly string[]) =>
  runCommand(lint, ['-', ...args], { input })

const textOf = (manifest: string) => lintManifest('f', manifest).map(findingText).join('')

describe('oras-csi lint', () => {
  test.each<[string, string, string[], number, string]>([
    ['finds nothing', GOOD, ['--strict'], 0, ''],
    ['finds nothing in what is no workload', 'kind: Service', ['--strict'], 0, ''],
    ['tells an error', BAD, [], 1, `stdin:6:33: ${ERROR}\n`],
    ['tells a warning', MOVING, [], 0, `stdin:6:27: ${WARNING}\n`],
    [
      'fails for a warning where that is asked for',
      MOVING,
      ['--strict'],
      1,
      `stdin:6:27: ${WARNING}\n`,
    ],
    [
      'writes commands of GitHub',
      BAD,
      ['--format=github'],
      1,
      `::error file=stdin,line=6,col=33::Pod/web: Invalid oras.land/artifacts["/app"]: ${WHY}\n`,
    ],
    [
      'writes JSON',
      BAD,
      ['--format=json'],
      1,
      `${JSON.stringify(
        [
          {
            ...{ file: 'stdin', line: 6, column: 33, severity: 'error', code: 'INVALID' },
            message: `Invalid oras.land/artifacts["/app"]: ${WHY}`,
            ...{ object: 'Pod/web', path: 'metadata.annotations["oras.land/artifacts"]' },
          },
        ],
        undefined,
        2,
      )}\n`,
    ],
    ['writes JSON of nothing', GOOD, ['--format=json'], 0, '[]\n'],
  ])('%s', async (_name, input, args, code, out) => {
    expect(await linted(input, ...args)).toStrictEqual({ code, out, err: '' })
  })

  test('reads several files, and directories with all beneath, but not what is hidden or not ours', async () => {
    await using directory = await temporaryDirectory()
    const file = (...names: string[]) => directory.file(...names)
    await mkdir(file('d', 'sub'), { recursive: true })
    await mkdir(file('d', '.git'))
    await writeFile(file('z.yaml'), BAD)
    await writeFile(file('d', 'b.yaml'), BAD)
    await writeFile(file('d', 'sub', 'a.json'), JSON.stringify({ kind: 'oras.land/' }))
    await writeFile(file('d', 'sub', 'c.yml'), MOVING)
    await writeFile(file('d', 'sub', 'other.yaml'), 'a: b: c')
    await writeFile(file('d', 'values.txt'), BAD)
    await writeFile(file('d', '.git', 'd.yaml'), BAD)
    expect(await runCommand(lint, [file('z.yaml'), file('d'), file('z.yaml')])).toStrictEqual({
      code: 1,
      out: `${file('z.yaml')}:6:33: ${ERROR}
${file('d', 'b.yaml')}:6:33: ${ERROR}
${file('d', 'sub', 'c.yml')}:6:27: ${WARNING}
`,
      err: '',
    })
  })

  test.each(['.', './', './web.yaml', 'web.yaml'])(
    'names files as GitHub does, where it is given "%s"',
    async (path) => {
      await using directory = await temporaryDirectory()
      await mkdir(directory.file('.git'))
      await writeFile(directory.file('.git', 'web.yaml'), BAD)
      await writeFile(directory.file('web.yaml'), BAD)
      const args = [MAIN, 'lint', path]
      const options = { cwd: directory.path, accept: [1] }
      expect(await runToEnd(process.execPath, args, options)).toStrictEqual({
        ...{ status: 1, stderr: '' },
        stdout: `web.yaml:6:33: ${ERROR}\n`,
      })
    },
  )

  test('holds manifests against a policy, for the namespace they name or the one that is given', async () => {
    await using directory = await temporaryDirectory()
    const policy = directory.file('policy.yaml')
    const rule = '{name: ours, namespaces: [shop], references: ["ghcr.io/acme/*"], effect: allow}'
    await writeFile(
      policy,
      `{apiVersion: csi.oras.land/v1alpha1, kind: Policy, rules: [${rule}], default: deny}`,
    )
    const args = [`--policy-file=${policy}`]
    const denial = (where: string) =>
      `stdin:6:27: error: Pod/web: Cannot use "ghcr.io/acme/app:v1"${where}\n`
    const inOther = GOOD.replace('name: web', 'name: web\n  namespace: other')
    expect(await linted(GOOD, ...args, '-n', 'shop')).toStrictEqual({ code: 0, out: '', err: '' })
    const { code, out } = await linted(GOOD, ...args)
    expect([code, out.slice(0, 60)]).toEqual([1, denial('').slice(0, 60)])
    expect((await linted(inOther, ...args, '-n', 'shop')).out).toBe(
      denial(
        ' in namespace "other": no rule of the admin\'s policy allows it; nothing is allowed there',
      ).replace(':6:', ':7:'),
    )
  })

  test('is a command of oras-csi', async () => {
    const args = ['cli/main.ts', 'lint', '-']
    expect(await runToEnd(process.execPath, args, { input: BAD, accept: [1] })).toStrictEqual({
      ...{ status: 1, stderr: '' },
      stdout: `stdin:6:33: ${ERROR}\n`,
    })
  })
})

describe('a finding stands', () => {
  test.each<[string, string, string]>([
    ['in a literal block', '"oras.land/artifacts": |\n      # why\n\n      /app: x', '9:13'],
    ['in one with an indentation of its own', 'oras.land/artifacts: |1-\n         /app: x', '7:16'],
    ['in one that is kept', 'oras.land/artifacts: |+ # all\n          /app: x\n\n', '7:17'],
    [
      'in one with Windows line ends',
      'oras.land/artifacts: |\r\n      /app:\r\n        - x\r',
      '8:11',
    ],
    ['in plain text', 'oras.land/artifacts: {/app: x}', '6:5'],
    ['in double quotes', 'oras.land/artifacts: "/app: x" # c', '6:33'],
    ['in single quotes', "oras.land/artifacts: '/app: x'", '6:33'],
    ['at the key of quotes with escapes', String.raw`oras.land/artifacts: "\x2fapp: x"`, '6:5'],
    ['at the key of a folded block', 'oras.land/artifacts: >\n      /app:\n\n        x', '6:5'],
    ['at the key of quotes over several lines', 'oras.land/artifacts: "/app:\n\n      x"', '6:5'],
  ])('%s', (_name, annotation, place) => {
    expect(textOf(pod(annotation))).toMatch(new RegExp(`^f:${place}: error: Pod/web: `))
  })

  test.each<[string, string, string]>([
    [
      'in the flow of JSON',
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { annotations: { 'oras.land/artifacts': '/app: x' } },
      }),
      '1:89',
    ],
    [
      'in an item of a list',
      `apiVersion: v1\nkind: List\nitems:\n- kind: Other\n- {apiVersion: v1, kind: Pod, metadata: {annotations: {oras.land/artifacts: "/app: x"}}}`,
      '5:84',
    ],
    [
      'behind an alias',
      `apiVersion: v1\nkind: Pod\nx: &a {oras.land/artifacts: "/app: x"}\nmetadata: {annotations: *a}`,
      '3:36',
    ],
    [
      'at the mapping that a merge key fills',
      `apiVersion: v1\nkind: Pod\nx: &a {oras.land/artifacts: "/app: x"}\nmetadata:\n  annotations: {<<: *a}`,
      '5:3',
    ],
    [
      'in the second document',
      `---\n# none\n---\napiVersion: v1\nkind: Pod\nmetadata: {annotations: {oras.land/artifacts: "/app: x"}}`,
      '6:54',
    ],
    [
      'at the template, where it is about no annotation',
      'apiVersion: apps/v1\nkind: Deployment\nspec:\n  template: {metadata: {annotations: {oras.land/artifacts: "/a: g.io/a:1"}}, spec: {containers: 1}}',
      '4:3',
    ],
    [
      'at the annotation that is misplaced, deep in a CronJob',
      'apiVersion: batch/v1\nkind: CronJob\nspec:\n  jobTemplate:\n    metadata:\n      annotations: {"oras.land/artifacts": x}\n    spec: {template: {}}',
      '6:21',
    ],
  ])('%s', (_name, manifest, place) => {
    expect(textOf(manifest).split('\n')[0]).toMatch(new RegExp(`^f:${place}: `))
  })
})

describe('what is no manifest', () => {
  const hint =
    'Found a template ("{{"), which is not YAML yet; expected what it renders to, e.g. by "helm template . | oras-csi lint -"'

  test.each<[string, string, string]>([
    ['a template', 'kind: Pod\nname: {{ .Values.name }}\nb: {{ x }}', `f:2:7: error: ${hint}\n`],
    [
      'a template with statements',
      'kind: Pod\n{{- if .Values.x }}\na: b\n{{- end }}\n---\n{{ x',
      `f:2:1: error: ${hint}\n`,
    ],
    ['a key twice', 'kind: Pod\nkind: Pod', 'f:2:1: error: Map keys must be unique\n'],
    ['a list', '- 1', 'f:1:1: error: Found a document that is not an object\n'],
    [
      'an alias of nothing',
      'a: *b',
      'f:1:1: error: Unresolved alias (the anchor must be set before the alias): b\n',
    ],
  ])('%s is an error', (_name, manifest, expected) => {
    expect(textOf(manifest)).toBe(expected)
  })

  test('the attack: aliases that stand for a million values', () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
    for (let at = 1; at < 8; at++) {
      const items = Array.from({ length: 10 }, () => `*a${at - 1}`).join(', ')
      lines.push(`a${at}: &a${at} [${items}]`)
    }
    expect(textOf(lines.join('\n'))).toMatch(/^f:1:1: error: Excessive alias count/)
  })

  test('one faulty document hides no other', () => {
    expect(textOf(`a: b: c\n---\n${BAD}`)).toBe(
      `f:1:4: error: Nested mappings are not allowed in compact mappings\nf:8:33: ${ERROR}\n`,
    )
  })

  test('braces within text are no template', () => {
    expect(textOf('kind: ConfigMap\ndata:\n  a: "{{ x }}"\n  b: |\n    {{ y }}\n')).toBe('')
  })
})

describe('the validating webhook passes over, and so does this,', () => {
  const deployment = (metadata: string) =>
    `apiVersion: apps/v1\nkind: Deployment\nmetadata: ${metadata}\nspec: {template: {metadata: {annotations: {oras.land/artifacts: "/app: x"}}}}`

  test('what is being deleted', () => {
    expect(textOf(deployment('{deletionTimestamp: "2026-01-01T00:00:00Z"}'))).toBe('')
  })

  test('what a controller has copied from its own object, where it is misplaced', () => {
    const metadata = '{name: web, annotations: {oras.land/artifacts: x}'
    expect(textOf(deployment(`${metadata}}`)).split('\n')).toHaveLength(3)
    expect(
      textOf(deployment(`${metadata}, ownerReferences: [{controller: true}]}`)).split('\n'),
    ).toHaveLength(2)
  })
})

describe('the attack:', () => {
  const finding = {
    ...{ file: 'a:b,c%.yaml\n', line: 1, column: 2, severity: 'error' as const },
    ...{ object: 'Pod/\u001b[2J\u0085', message: 'x\n::add-mask::%0A\r' },
  }

  test('a line break in a message is no command of GitHub', () => {
    expect(workflowCommand(finding)).toBe(
      '::error file=a%3Ab%2Cc%25.yaml%0A,line=1,col=2::Pod/\u001b[2J\u0085: x%0A::add-mask::%250A%0D\n',
    )
  })

  test('an escape sequence does not reach the terminal', () => {
    expect(findingText(finding)).toBe(
      'a:b,c%.yaml\\n:1:2: error: Pod/\\u001b[2J\\u0085: x\\n::add-mask::%0A\\r\n',
    )
  })
})

import { writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { preview } from '../../cli/preview.ts'
import { startProcess } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

interface Setting {
  readonly env?: Record<string, string>
  readonly isTerminal?: boolean
}

/** Runs `oras-csi preview -f - ...` on `input`. */
async function previewed(input: string, args: readonly string[] = [], setting: Setting = {}) {
  const out: string[] = []
  const err: string[] = []
  const code = await preview.run(['-f', '-', ...args], {
    env: setting.env ?? {},
    isTerminal: setting.isTerminal ?? false,
    stderrIsTerminal: false,
    interrupted: new AbortController().signal,
    readStdin: async () => input,
    stdout: (text) => out.push(text),
    stderr: (text) => err.push(text),
  })
  return { code, out: out.join(''), err: err.join('') }
}

const POD = `# a pod
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    oras.land/artifacts: "/app: ghcr.io/acme/app:v1"
spec:
  containers:
    - name: java
      image: eclipse-temurin:21-jre
`
const COMPOSED_POD = `apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    oras.land/artifacts: "/app: ghcr.io/acme/app:v1"
    oras.land/status: '{"volumes":[{"name":"oras-app","reference":"ghcr.io/acme/app:v1","mounts":[{"container":"java","mountPath":"/app"}]}]}'
spec:
  containers:
    - name: java
      image: eclipse-temurin:21-jre
      volumeMounts:
        - name: oras-app
          mountPath: /app
          readOnly: true
  volumes:
    - name: oras-app
      csi:
        driver: csi.oras.land
        readOnly: true
        volumeAttributes:
          oras.artifact.reference: ghcr.io/acme/app:v1
`
const DENIED_POD = POD.replace('ghcr.io/acme/app:v1', 'app').replace('web', 'bad')
const DENIAL =
  'stdin: Pod/bad: denied: Invalid oras.land/artifacts["/app"] (line 1, column 7): invalid reference "app": no registry, and neither tag nor digest; expected registry/repository:tag, e.g. "docker.io/library/app:latest"\n'

const template = `metadata: {annotations: {oras.land/artifacts: "/app: ghcr.io/acme/app:v1"}}, spec: {containers: [{name: java}]}`

describe('oras-csi preview', () => {
  test('shows a pod as the webhook would make it', async () => {
    expect(await previewed(POD)).toStrictEqual({ code: 0, out: COMPOSED_POD, err: '' })
  })

  test('shows what it showed as it is', async () => {
    expect(await previewed(COMPOSED_POD)).toStrictEqual({ code: 0, out: COMPOSED_POD, err: '' })
    expect(await previewed(COMPOSED_POD, ['--diff'])).toStrictEqual({ code: 0, out: '', err: '' })
  })

  test.each([
    ['Deployment', 'apps/v1', `{template: {${template}}}`],
    ['StatefulSet', 'apps/v1', `{template: {${template}}}`],
    ['DaemonSet', 'apps/v1', `{template: {${template}}}`],
    ['ReplicaSet', 'apps/v1', `{template: {${template}}}`],
    ['Job', 'batch/v1', `{template: {${template}}}`],
    ['CronJob', 'batch/v1', `{jobTemplate: {spec: {template: {${template}}}}}`],
  ])('composes the template of a %s', async (kind, apiVersion, spec) => {
    const input = `{apiVersion: ${apiVersion}, kind: ${kind}, metadata: {name: x}, spec: ${spec}}`
    const { code, out, err } = await previewed(input, ['--diff'])
    expect({ code, err }).toStrictEqual({ code: 0, err: '' })
    expect(out).toMatch(new RegExp(`^--- ${kind}/x \\(written\\)$`, 'm'))
    expect(out).toMatch(/^\+ +driver: csi\.oras\.land$/m)
    expect(out).toMatch(/^\+ +mountPath: \/app$/m)
  })

  test('shows a unified diff', async () => {
    const { code, out, err } = await previewed(POD, ['--diff'])
    expect({ code, err }).toStrictEqual({ code: 0, err: '' })
    expect(out).toBe(`--- Pod/web (written)
+++ Pod/web (composed)
@@ -3,8 +3,20 @@
 metadata:
   name: web
   annotations:
     oras.land/artifacts: "/app: ghcr.io/acme/app:v1"
+    oras.land/status: '{"volumes":[{"name":"oras-app","reference":"ghcr.io/acme/app:v1","mounts":[{"container":"java","mountPath":"/app"}]}]}'
 spec:
   containers:
     - name: java
       image: eclipse-temurin:21-jre
+      volumeMounts:
+        - name: oras-app
+          mountPath: /app
+          readOnly: true
+  volumes:
+    - name: oras-app
+      csi:
+        driver: csi.oras.land
+        readOnly: true
+        volumeAttributes:
+          oras.artifact.reference: ghcr.io/acme/app:v1
`)
  })

  test.each<[string, Setting, boolean]>([
    ['on a terminal', { isTerminal: true }, true],
    ['not with NO_COLOR', { isTerminal: true, env: { NO_COLOR: '1' } }, false],
    ['not into a pipe', {}, false],
  ])('colours a diff: %s', async (_name, setting, expected) => {
    const { out } = await previewed(POD, ['--diff'], setting)
    expect(out.includes('\u001b[32m+      volumeMounts:\u001b[0m')).toBe(expected)
    expect(out.includes('\u001b[')).toBe(expected)
  })

  test('shows a stream of documents, those of other kinds as they are', async () => {
    const service = 'apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n'
    expect(await previewed(`---\n${service}---\n---\n${POD}`)).toStrictEqual({
      code: 0,
      out: `${service}---\n${COMPOSED_POD}`,
      err: '',
    })
  })

  test('exits with 1 when something would be denied, and shows the rest', async () => {
    expect(await previewed(`${DENIED_POD}---\n${POD}`)).toStrictEqual({
      code: 1,
      out: COMPOSED_POD,
      err: DENIAL,
    })
  })

  test('warns of what the webhook warns of, and of an annotation in the wrong place', async () => {
    const input = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {oras.land/artifacts: "/app: acme/app:v1"}}
spec:
  template:
    metadata: {annotations: {oras.land/artifact: "/app: acme/app:v1"}}
    spec: {containers: [{name: java}]}
`
    const { code, err } = await previewed(input)
    expect({ code, err }).toStrictEqual({
      code: 0,
      err: `stdin: Deployment/web: warning: oras.land/artifacts has no effect here: move it to the metadata of the pod template
stdin: Deployment/web: warning: Unknown annotation "oras.land/artifact"; did you mean "oras.land/artifacts"?
`,
    })
  })

  test('reads YAML as kubectl does, and writes it so that every reader agrees', async () => {
    const input = `
apiVersion: v1
kind: Pod
metadata: {name: web, annotations: {when: 2026-01-01, at: 12:30, quoted: "yes", mode: "0644"}}
spec: {defaultMode: 0644, stdin: yes}
`
    const { out } = await previewed(input)
    expect(out).toBe(`apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    when: "2026-01-01"
    at: "12:30"
    quoted: "yes"
    mode: "0644"
spec:
  defaultMode: 420
  stdin: true
`)
  })

  test.each([
    [
      'a file without a workload',
      'kind: Service',
      'stdin: found no pod and no workload; expected a Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job or CronJob',
    ],
    ['a document that is no object', '- 1', 'stdin: found a document that is not an object'],
    [
      'text that is no YAML',
      'a: b: c',
      'stdin:1:4: Nested mappings are not allowed in compact mappings',
    ],
  ])('refuses %s', async (_name, input, message) => {
    await expect(previewed(input)).rejects.toMatchObject({ code: 'INVALID', message })
  })
})

describe('cli/main.ts', () => {
  const run = async (...args: string[]) => {
    await using process = startProcess({ args: ['cli/main.ts', ...args] })
    const { code } = await process.exited
    return { code, output: process.output() }
  }

  test('previews a file, and names it', async () => {
    await using directory = await temporaryDirectory()
    const path = directory.file('pod.yaml')
    await writeFile(path, DENIED_POD)
    expect(await run('preview', '-f', path)).toStrictEqual({
      code: 1,
      output: `stderr: ${DENIAL.replace('stdin', path).trimEnd()}`,
    })
  })

  test.each<[string, string[], number, RegExp]>([
    ['lists the commands', ['--help'], 0, /^stdout: {3}preview {3}show a pod or workload as/m],
    ['shows the flags of a command', ['preview', '--help'], 0, /^stdout: {3}-f, --file FILE {2}/m],
    [
      'refuses an unknown command',
      ['preveiw'],
      2,
      /^stderr: Unknown command "preveiw"; did you mean "preview"\? \(--help lists them\)$/,
    ],
    [
      'refuses an unknown flag',
      ['preview', '--fil=x'],
      2,
      /^stderr: Unknown flag "--fil"; did you mean "file"\? \(--help lists them\)$/,
    ],
    [
      'says that a file is missing',
      ['preview', '-f', 'no-such.yaml'],
      2,
      /^stderr: Cannot read "no-such\.yaml": ENOENT$/,
    ],
  ])('%s', async (_name, args, code, output) => {
    expect(await run(...args)).toStrictEqual({ code, output: expect.stringMatching(output) })
  })
})

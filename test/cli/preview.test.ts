import { mkdir, writeFile } from 'node:fs/promises'
import { applyPatch } from 'diff'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { preview } from '../../cli/preview.ts'
import { startProcess } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { type RunSetting, runCommand } from './command-run.ts'

/** Runs `oras-csi preview -f - ...` on `input`. */
function previewed(input: string, args: readonly string[] = [], setting: RunSetting = {}) {
  return runCommand(preview, ['-f', '-', ...args], { input, ...setting })
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
const COMPOSED_POD = `# a pod
apiVersion: v1
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
  'stdin:7:33: error: Pod/bad: Invalid oras.land/artifacts["/app"]: invalid reference "app": no registry, and neither tag nor digest; expected registry/repository:tag, e.g. "docker.io/library/app:latest"\n'

const template = `metadata: {annotations: {oras.land/artifacts: "/app: ghcr.io/acme/app:v1"}}, spec: {containers: [{name: java}]}`

const composedTemplate = `metadata: {annotations: {oras.land/artifacts: "/app: ghcr.io/acme/app:v1", oras.land/status: '{"volumes":[{"name":"oras-app","reference":"ghcr.io/acme/app:v1","mounts":[{"container":"java","mountPath":"/app"}]}]}'}}, spec: {containers: [{name: java, volumeMounts: [{name: oras-app, mountPath: /app, readOnly: true}]}], volumes: [{name: oras-app, csi: {driver: csi.oras.land, readOnly: true, volumeAttributes: {oras.artifact.reference: ghcr.io/acme/app:v1}}}]}`

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
    ['ReplicationController', 'v1', `{template: {${template}}}`],
    ['CronJob', 'batch/v1', `{jobTemplate: {spec: {template: {${template}}}}}`],
  ])('composes the template of a %s', async (kind, apiVersion, spec) => {
    const input = `{apiVersion: ${apiVersion}, kind: ${kind}, metadata: {name: x}, spec: ${spec}}\n`
    expect(await previewed(input)).toStrictEqual({
      ...{ code: 0, err: '' },
      out: input.replace(template, composedTemplate),
    })
  })

  test('composes a PodTemplate, and the items of lists', async () => {
    const one = (inner: string) =>
      `{apiVersion: v1, kind: PodTemplate, metadata: {name: x}, template: {${inner}}}`
    const list = (inner: string) => `apiVersion: v1
kind: List
items:
- ${one(inner)} # first
- apiVersion: v1
  kind: List
  items: [{kind: Other}, ${one(inner)}]
`
    expect(await previewed(list(template))).toStrictEqual({
      ...{ code: 0, err: '' },
      out: list(composedTemplate),
    })
  })

  test('shows a unified diff', async () => {
    const { code, out, err } = await previewed(POD, ['--diff'])
    expect({ code, err }).toStrictEqual({ code: 0, err: '' })
    expect(out).toBe(`--- stdin\twritten
+++ stdin\tcomposed
@@ -4,8 +4,20 @@
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
    expect(applyPatch(POD, out)).toBe(COMPOSED_POD)
  })

  test('shows no difference for what is denied', async () => {
    const { code, out } = await previewed(`${DENIED_POD}---\n${POD}`, ['--diff'])
    expect(code).toBe(1)
    expect(applyPatch(`${DENIED_POD}---\n${POD}`, out)).toBe(`${DENIED_POD}---\n${COMPOSED_POD}`)
  })

  test.each<[string, RunSetting, boolean]>([
    ['on a terminal', { isTerminal: true }, true],
    ['not with NO_COLOR', { isTerminal: true, env: { NO_COLOR: '1' } }, false],
    ['not into a pipe', {}, false],
  ])('colours a diff: %s', async (_name, setting, expected) => {
    const { out } = await previewed(POD, ['--diff'], setting)
    expect(out.includes('\u001b[32m+      volumeMounts:\u001b[0m')).toBe(expected)
    expect(out.includes('\u001b[')).toBe(expected)
  })

  test('leaves everything else in a stream to the letter', async () => {
    const others = `---
# Source: chart/templates/service.yaml
apiVersion: v1
kind: Service
metadata: {name:  "web",}   # as it is
spec: {mode: 0644, on: yes, when: 2026-01-01}
---
---
# only a comment
---
`
    expect(await previewed(others + POD)).toStrictEqual({
      ...{ code: 0, err: '' },
      out: others + COMPOSED_POD,
    })
  })

  test('reads a directory, in the order of the names', async () => {
    await using directory = await temporaryDirectory()
    await mkdir(directory.file('b'))
    await writeFile(directory.file('b', 'a.yml'), POD.trimEnd())
    await writeFile(directory.file('a.yaml'), DENIED_POD)
    await writeFile(directory.file('c.json'), JSON.stringify(parse(POD), undefined, 1))
    await writeFile(directory.file('d.yaml'), '{{ not ours }}')
    const { code, out, err } = await runCommand(preview, ['-f', directory.path])
    expect({ code, err }).toStrictEqual({
      code: 1,
      err: DENIAL.replace('stdin', directory.file('a.yaml')),
    })
    const json = JSON.stringify(parse(COMPOSED_POD), undefined, 1)
    expect(out).toBe(`${COMPOSED_POD}---\n${json}\n`)
  })

  test('exits with 1 when something would be denied, and shows the rest', async () => {
    expect(await previewed(`${DENIED_POD}---\n${POD}`)).toStrictEqual({
      code: 1,
      out: `---\n${COMPOSED_POD}`,
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
    expect(await previewed(input)).toStrictEqual({
      code: 0,
      out: input,
      err: `stdin:4:37: warning: Deployment/web: oras.land/artifacts has no effect on a Deployment; move it to spec.template.metadata.annotations
stdin:7:30: warning: Deployment/web: Unknown annotation "oras.land/artifact"; did you mean "oras.land/artifacts"?
`,
    })
  })

  test('lets a stream without workloads through, and says so', async () => {
    const input = 'apiVersion: v1\nkind: Service\n'
    expect(await previewed(input)).toStrictEqual({
      ...{ code: 0, out: input },
      err: 'stdin: found no pod and no workload; expected a Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, ReplicationController or PodTemplate\n',
    })
  })

  test.each([
    ['a document that is no object', '- 1', 'stdin:1:1: Found a document that is not an object'],
    [
      'a template',
      'kind: Pod\nname: {{ .Values.name }}',
      'stdin:2:7: Found a template ("{{"), which is not YAML yet; expected what it renders to, e.g. by "helm template . | oras-csi lint -"',
    ],
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
    ['lists the commands', ['--help'], 0, /^stdout: {3}preview {3}show pods and workloads as/m],
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

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { parseManifest } from '../../cli/manifest.ts'
import { compose } from '../../webhook/compose.ts'
import { type JsonObject, objectAt } from '../../webhook/json.ts'
import { CHECKOUT } from '../manifests/manifest-objects.ts'
import { run, runToEnd } from '../support/command.ts'
import { whyNoProgram } from '../support/skip-unless.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts'
import { buildGoProgram } from './go-program.ts'
import { CHART } from './rendered.ts'

const why = await whyNoProgram('go')
const MAIN = join(CHECKOUT, 'cli/main.ts')
const FLAGS = ['build', '--enable-alpha-plugins', '--enable-exec']
/** A Deployment and a Service, the Deployment's pods asking for one artifact. */
const MANIFESTS = (reference: string) => `apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations:
        oras.land/artifacts: |
          /app: {reference: "${reference}", env: [{name: APP_HOME, value: /app}]}
    spec:
      initContainers: [{name: setup, image: "busybox:1"}]
      containers: [{name: web, image: "eclipse-temurin:21-jre"}]
`

describe.skipIf(why !== undefined)(`kustomize${why === undefined ? '' : ` (${why})`}`, () => {
  let kustomize = ''
  beforeAll(async () => {
    kustomize = await buildGoProgram('kustomize')
  }, 900_000)

  test('composes as the webhook would, by "oras-csi krm" beside the kustomization, without any webhook', async () => {
    await using directory = await kustomization('ghcr.io/acme/app:v1')
    const built = await run(kustomize, [...FLAGS, directory.path])
    const written = objectsOf(MANIFESTS('ghcr.io/acme/app:v1'))
    expect(kindsOf(objectsOf(built))).toEqual(['Deployment', 'Service'])
    expect(named(objectsOf(built), 'Service')).toEqual(named(written, 'Service'))
    const verdict = compose(templateOf(written))
    if (verdict.kind === 'denied') throw verdict.error
    expect(templateOf(objectsOf(built))).toEqual(verdict.pod)
    // What is built finds its own output, and leaves it.
    await writeFile(directory.file('web.yaml'), built)
    expect(await run(kustomize, [...FLAGS, directory.path])).toBe(built)
  })

  test('and its output through "oras-csi preview" is the same', async () => {
    await using directory = await kustomization('ghcr.io/acme/app:v1')
    const composed = await run(kustomize, [...FLAGS, directory.path])
    await writeFile(directory.file('kustomization.yaml'), 'resources: [web.yaml]\n')
    const input = await run(kustomize, ['build', directory.path])
    const shown = await run(process.execPath, [MAIN, 'preview', '-f', '-'], { input })
    expect(objectsOf(shown)).toEqual(objectsOf(composed))
  })

  test('fails where the webhook would deny, and says why', async () => {
    await using directory = await kustomization('app')
    const { status, stdout, stderr } = await runToEnd(kustomize, [...FLAGS, directory.path], {
      accept: [1],
    })
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toContain(
      'error: Deployment/web: Invalid oras.land/artifacts["/app"].reference: invalid reference "app"',
    )
  })

  test('fails for a warning where the transformer says so', async () => {
    await using directory = await kustomization('ghcr.io/acme/app:latest', 'spec: {strict: true}\n')
    const { stderr } = await runToEnd(kustomize, [...FLAGS, directory.path], { accept: [1] })
    expect(stderr).toContain('warning: Deployment/web: Tag "latest" moves')
  })
})

describe.skipIf(why !== undefined)(`Helm${why === undefined ? '' : ` (${why})`}`, () => {
  let program = ''
  beforeAll(async () => {
    program = await buildGoProgram('helm')
  }, 900_000)

  test('renders what "oras-csi preview" composes in a pipe, every other line kept', async () => {
    await using chart = await temporaryDirectory()
    await mkdir(chart.file('templates'))
    await writeFile(chart.file('Chart.yaml'), 'apiVersion: v2\nname: shop\nversion: 0.1.0\n')
    const reference = '{{ .Values.reference }}'
    await writeFile(chart.file('templates', 'web.yaml'), MANIFESTS(reference))
    const template = ['template', 'shop', chart.path, '--set', 'reference=ghcr.io/acme/app:v1']
    const input = await run(program, template)
    const shown = await run(process.execPath, [MAIN, 'preview', '-f', '-'], { input })
    const before = input.split('\n').filter((line) => !/^ +(?:initC|c)ontainers: /.test(line))
    expect(shown.split('\n')).toEqual(expect.arrayContaining(before))
    expect(shown).toContain('# Source: shop/templates/web.yaml\n')
    const verdict = compose(templateOf(objectsOf(input)))
    if (verdict.kind === 'denied') throw verdict.error
    expect(templateOf(objectsOf(shown))).toEqual(verdict.pod)
  })

  test('renders the shipped chart, which "oras-csi preview" leaves as it is', async () => {
    const input = await run(program, ['template', 'oras-csi', CHART])
    expect(await run(process.execPath, [MAIN, 'preview', '-f', '-'], { input })).toBe(input)
    expect(await run(process.execPath, [MAIN, 'lint', '--strict', '-'], { input })).toBe('')
  })
})

async function kustomization(reference: string, options = ''): Promise<TemporaryDirectory> {
  const directory = await temporaryDirectory()
  await writeFile(directory.file('web.yaml'), MANIFESTS(reference))
  await writeFile(
    directory.file('kustomization.yaml'),
    'resources: [web.yaml]\ntransformers: [oras-csi.yaml]\n',
  )
  await writeFile(
    directory.file('oras-csi'),
    `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`,
    { mode: 0o755 },
  )
  await writeFile(
    directory.file('oras-csi.yaml'),
    `apiVersion: csi.oras.land/v1alpha1
kind: Composition
metadata:
  name: oras-csi
  annotations:
    config.kubernetes.io/function: |
      exec: {path: ./oras-csi, args: [krm]}
${options}`,
  )
  return directory
}

function objectsOf(text: string): readonly JsonObject[] {
  const { documents, faults } = parseManifest('built', text)
  expect(faults).toEqual([])
  return documents.map(({ object }) => object ?? {})
}

function kindsOf(objects: readonly JsonObject[]): readonly unknown[] {
  return objects.map(({ kind }) => kind).sort()
}

function named(objects: readonly JsonObject[], kind: string): JsonObject {
  return objects.find((object) => object['kind'] === kind) ?? {}
}

function templateOf(objects: readonly JsonObject[]): JsonObject {
  return objectAt(objectAt(named(objects, 'Deployment'), 'spec'), 'template') ?? {}
}

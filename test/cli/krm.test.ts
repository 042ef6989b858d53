import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { krm } from '../../cli/krm.ts'
import { runToEnd } from '../support/command.ts'
import { runCommand } from './command-run.ts'

const STATUS =
  '\'{"volumes":[{"name":"oras-app","reference":"ghcr.io/acme/app:v1","mounts":[{"container":"java","mountPath":"/app"}]}]}\''

/** A ResourceList as kpt writes it, with comments, the Deployment's annotation as given, and what comes with it. */
const list = (
  artifacts: string,
  { status = '', mounts = '', volumes = '', config = '', results = '' } = {},
) => `apiVersion: config.kubernetes.io/v1
kind: ResourceList
items:
- apiVersion: v1
  kind: Service # as it is
  metadata:
    name: "web"
- apiVersion: apps/v1
  kind: Deployment
  metadata:
    name: web
    namespace: shop
    annotations:
      internal.config.kubernetes.io/path: 'deploy/web.yaml'
      config.kubernetes.io/index: '1'
      oras.land/artifacts: x
  spec:
    template:
      metadata:
        annotations:
          oras.land/artifacts: "${artifacts}"
${status}      spec:
        # one container
        containers:
        - name: java
${mounts}${volumes}${config}${results}`

const COMPOSED = {
  status: `          oras.land/status: ${STATUS}\n`,
  mounts: `          volumeMounts:
          - name: oras-app
            mountPath: /app
            readOnly: true
`,
  volumes: `        volumes:
        - name: oras-app
          csi:
            driver: csi.oras.land
            readOnly: true
            volumeAttributes:
              oras.artifact.reference: ghcr.io/acme/app:v1
`,
}
const GOOD = '/app: ghcr.io/acme/app:v1'
const RESOURCE = `  resourceRef:
    apiVersion: apps/v1
    kind: Deployment
    name: web
    namespace: shop
`
const FILE = `  file:
    path: deploy/web.yaml
    index: 1
`
const MISPLACED =
  'oras.land/artifacts has no effect on a Deployment; move it to spec.template.metadata.annotations'
const WARNED = `- message: ${MISPLACED}
  severity: warning
${RESOURCE}  field:
    path: metadata.annotations["oras.land/artifacts"]
${FILE}`
const DENIED =
  'Invalid oras.land/artifacts["/app"]: invalid reference "x": no registry, and neither tag nor digest; expected registry/repository:tag, e.g. "docker.io/library/x:latest" (line 1, column 7)'

const run = (input: string) => runCommand(krm, [], { input })

describe('oras-csi krm', () => {
  test('composes the items, tells results, and leaves everything else to the letter', async () => {
    expect(await run(list(GOOD))).toStrictEqual({
      code: 0,
      out: list(GOOD, { ...COMPOSED, results: `results:\n${WARNED}` }),
      err: `deploy/web.yaml: warning: Deployment/web: ${MISPLACED}\n`,
    })
  })

  test('leaves what it has composed as it is', async () => {
    const composed = list(GOOD, COMPOSED).replace('      oras.land/artifacts: x\n', '')
    expect(await run(composed)).toStrictEqual({ code: 0, out: composed, err: '' })
  })

  test('adds to the results that are there', async () => {
    const before = 'results:\n- message: "of another"\n'
    expect((await run(list(GOOD, { results: before }))).out).toBe(
      list(GOOD, { ...COMPOSED, results: before + WARNED }),
    )
  })

  test('fails for what would be denied, and leaves it as it is', async () => {
    const { code, out, err } = await run(list('/app: x'))
    expect({ code, err }).toStrictEqual({
      code: 1,
      err: `deploy/web.yaml: warning: Deployment/web: ${MISPLACED}\ndeploy/web.yaml: error: Deployment/web: ${DENIED}\n`,
    })
    expect(parse(out)).toStrictEqual({
      ...parse(list('/app: x')),
      results: [
        ...parse(WARNED),
        {
          ...{ message: DENIED, severity: 'error' },
          ...parse(RESOURCE),
          field: { path: 'spec.template.metadata.annotations["oras.land/artifacts"]' },
          ...parse(FILE),
        },
      ],
    })
  })

  test.each<[string, string, number, RegExp]>([
    [
      'fails for warnings where that is asked for',
      'spec: {strict: true}',
      1,
      /^deploy.*: warning: /,
    ],
    ['takes a ConfigMap', 'kind: ConfigMap\n  data: {strict: "true"}', 1, /^deploy.*: warning: /],
    [
      'takes a policy as text',
      'kind: ConfigMap\n  data:\n    policy: |\n      {apiVersion: csi.oras.land/v1alpha1, kind: Policy, rules: [], default: allow}',
      0,
      /^deploy.*: warning: /,
    ],
  ])('%s', async (_name, config, code, err) => {
    const { code: actual, err: said } = await run(
      list(GOOD, { config: `functionConfig:\n  ${config}\n` }),
    )
    expect(said).toMatch(err)
    expect(actual).toBe(code)
  })

  test('holds items against a policy, and composes none that it denies', async () => {
    const config = `functionConfig:
  spec: {policy: {apiVersion: csi.oras.land/v1alpha1, kind: Policy, rules: [], default: deny}}
`
    const { code, out, err } = await run(list(GOOD, { config }))
    const before = list(GOOD, { config })
    expect([code, out.slice(0, before.length)]).toEqual([1, before])
    expect(err).toContain(
      ': error: Deployment/web: Cannot use "ghcr.io/acme/app:v1" in namespace "shop"',
    )
  })

  test('only tells results where that is asked for', async () => {
    const config = 'functionConfig:\n  spec: {lintOnly: true}\n'
    expect((await run(list(GOOD, { config }))).out).toBe(
      list(GOOD, { config, results: `results:\n${WARNED}` }),
    )
  })

  test.each<[string, string, string]>([
    [
      'another option',
      list(GOOD, { config: 'functionConfig: {spec: {strikt: true}}\n' }),
      'Invalid functionConfig.spec: unknown field "strikt"; did you mean "strict"?',
    ],
    [
      'an option of another type',
      list(GOOD, { config: 'functionConfig: {kind: ConfigMap, data: {lintOnly: "1"}}\n' }),
      'Invalid functionConfig.data.lintOnly: expected true or false',
    ],
    [
      'a namespace of another type',
      list(GOOD, { config: 'functionConfig: {spec: {namespace: 1}}\n' }),
      'Invalid functionConfig.spec.namespace: expected text',
    ],
    [
      'a policy of another type',
      list(GOOD, { config: 'functionConfig: {spec: {policy: 1}}\n' }),
      'Invalid functionConfig.spec.policy: expected a policy, as an object or as text',
    ],
    [
      'what is no ResourceList',
      'kind: Pod',
      'stdin: expected one ResourceList of config.kubernetes.io, as kustomize and kpt write it; for other manifests there is "oras-csi preview -f -"',
    ],
  ])('refuses %s', async (_name, input, message) => {
    await expect(run(input)).rejects.toMatchObject({ code: 'INVALID', message })
  })

  test('is a command of oras-csi, with exit code 2 for what it cannot read', async () => {
    const args = ['cli/main.ts', 'krm']
    expect(await runToEnd(process.execPath, args, { input: 'a: b: c', accept: [2] })).toStrictEqual(
      {
        ...{ status: 2, stdout: '' },
        stderr: 'stdin:1:4: Nested mappings are not allowed in compact mappings\n',
      },
    )
  })
})

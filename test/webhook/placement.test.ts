import { describe, expect, test } from 'vitest'
import { mutate } from '../../webhook/mutate.ts'
import { thrownBy } from '../support/thrown.ts'

const KEY = 'oras.land/artifacts'
const A = 'ghcr.io/acme/a:1'
const B = 'ghcr.io/acme/b:1'

const composed = (artifacts: string, containers: readonly string[] = ['java']) =>
  mutate({
    metadata: { annotations: { [KEY]: artifacts } },
    spec: { containers: containers.map((name) => ({ name })) },
  })

const sourcesIn = (artifacts: string, containers?: readonly string[]) => {
  const { volumes } = composed(artifacts, containers).pod['spec'] as {
    volumes: { name: string; csi: { volumeAttributes: Record<string, string> } }[]
  }
  return volumes.map(({ name, csi }) => [name, csi.volumeAttributes])
}

describe('artifacts at one mount path', () => {
  const attributes = { 'oras.sources': `[{"reference":"${A}"},{"reference":"${B}"}]` }

  test.for([
    ['the short form', `/plugins:\n  - ${A}\n  - ${B}`],
    ['the short form with options', `/plugins: [${A}, {reference: ${B}}]`],
    [
      'the long form',
      `- {reference: ${A}, mountPath: /plugins}\n- {reference: ${B}, mountPath: /plugins}`,
    ],
  ] as const)('are one volume with sources in the order written: %s', ([, artifacts]) => {
    const { pod, warnings } = composed(artifacts)
    expect(pod).toStrictEqual({
      metadata: {
        annotations: {
          [KEY]: artifacts,
          'oras.land/status': `{"volumes":[{"name":"oras-plugins","references":["${A}","${B}"],"mounts":[{"container":"java","mountPath":"/plugins"}]}]}`,
        },
      },
      spec: {
        containers: [
          {
            name: 'java',
            volumeMounts: [{ name: 'oras-plugins', mountPath: '/plugins', readOnly: true }],
          },
        ],
        volumes: [
          {
            name: 'oras-plugins',
            csi: { driver: 'csi.oras.land', readOnly: true, volumeAttributes: attributes },
          },
        ],
      },
    })
    expect(warnings).toEqual([])
    // Run again on its own output it changes nothing.
    expect(mutate(pod).pod).toBe(pod)
  })

  test('with fields of their own', () => {
    expect(
      sourcesIn(
        `/opt: [{reference: ${A}, path: a, select: {files: ["*.jar"]}}, {reference: ${B}, path: b}]`,
      ),
    ).toEqual([
      [
        'oras-opt',
        {
          'oras.sources': `[{"reference":"${A}","select":{"files":["*.jar"]},"path":"a"},{"reference":"${B}","path":"b"}]`,
        },
      ],
    ])
  })

  test('the same sources in the same order at two paths are one volume, in another order two', () => {
    const artifacts = `/x: [${A}, ${B}]\n/y: [${A}, ${B}]\n/z: [${B}, ${A}]`
    expect(sourcesIn(artifacts).map(([name]) => name)).toEqual(['oras-x', 'oras-z'])
  })

  test('for different containers are different volumes', () => {
    const artifacts = `
- {reference: ${A}, mountPath: /app, containers: [one]}
- {reference: ${B}, mountPath: /app, containers: [two]}
`
    const found = sourcesIn(artifacts, ['one', 'two'])
    expect(found.map(([, one]) => one)).toEqual([
      { 'oras.artifact.reference': A },
      { 'oras.artifact.reference': B },
    ])
  })
})

describe('artifacts at one mount path must agree', () => {
  test.for([
    [
      'on the subPath',
      `[${A}, {reference: ${B}, subPath: lib}]`,
      'line 1, column 26',
      '"subPath" is "lib" here and none there',
    ],
    [
      'on the secret',
      `[{reference: ${A}, pullSecret: one}, {reference: ${B}, pullSecret: two}]`,
      'line 1, column 56',
      '"pullSecret" is "two" here and "one" there',
    ],
    [
      'on the name',
      `[{reference: ${A}, name: one}, {reference: ${B}, name: two}]`,
      'line 1, column 50',
      '"name" is "two" here and "one" there',
    ],
  ] as const)('%s', ([, list, position, difference]) => {
    expect(thrownBy(() => composed(`/app: ${list}`))).toBe(
      `INVALID Invalid ${KEY}["/app"][1] (${position}): it shares "/app" with ${KEY}["/app"][0], and ${difference}; artifacts at one mount path are one volume: expected the same`,
    )
  })

  test('on the containers, if they meet in one', () => {
    const artifacts = `[{reference: ${A}, containers: [java]}, ${B}]`
    expect(thrownBy(() => composed(`/app: ${artifacts}`))).toBe(
      `INVALID Invalid ${KEY}["/app"][1] (line 1, column 59): "/app" of container "java" is that of ${KEY}["/app"][0] already; artifacts at one mount path are one volume: expected the same "containers"`,
    )
  })

  test('one name is enough', () => {
    expect(sourcesIn(`/app: [${A}, {reference: ${B}, name: both}]`).map(([name]) => name)).toEqual([
      'oras-both',
    ])
  })
})

test('more than 32 artifacts in a pod are refused, however they share paths', () => {
  const list = `[${Array.from({ length: 20 }, () => A).join(', ')}]`
  expect(thrownBy(() => composed(`/x: ${list}\n/y: ${list}`))).toBe(
    `INVALID Invalid ${KEY} (line 1, column 1): found 40 artifacts; expected at most 32 in a pod`,
  )
  expect(thrownBy(() => composed('/x: []'))).toBe(
    `INVALID Invalid ${KEY}["/x"] (line 1, column 5): found an empty list; expected at least one artifact`,
  )
})

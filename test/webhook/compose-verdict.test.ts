import { describe, expect, test } from 'vitest'
import { type ComposeContext, compose } from '../../webhook/compose.ts'

const KEY = 'oras.land/artifacts'

const podOf = (artifacts: string, spec: object = { containers: [{ name: 'java' }] }) => ({
  metadata: { annotations: { [KEY]: artifacts } },
  spec,
})

describe('compose answers', () => {
  test('with all that is wrong in the pod, and where', () => {
    const artifacts = `
- {reference: ghcr.io/acme/a:1, mountPath: /a, containers: [jav]}
- {reference: ghcr.io/acme/b:1, mountPath: /b, containers: [php]}
- {reference: ghcr.io/acme/c:1, mountPath: /c}
`
    const verdict = compose(podOf(artifacts))
    expect(verdict.kind).toBe('denied')
    expect(
      verdict.findings.map(({ annotation, path, position, entry }) => [
        annotation,
        path,
        position,
        entry,
      ]),
    ).toStrictEqual([
      [KEY, `${KEY}[0].containers[0]`, { line: 2, column: 61 }, 0],
      [KEY, `${KEY}[1].containers[0]`, { line: 3, column: 61 }, 1],
    ])
  })

  test('with every mount that is in the way', () => {
    const spec = {
      containers: [
        {
          name: 'java',
          volumeMounts: ['/a', '/b'].map((mountPath) => ({ name: 'data', mountPath })),
        },
      ],
      volumes: [{ name: 'oras-c', emptyDir: {} }],
    }
    const artifacts = '/a: ghcr.io/acme/a:1\n/b: ghcr.io/acme/b:1\n/c: ghcr.io/acme/c:1'
    const verdict = compose(podOf(artifacts, spec))
    expect(verdict.findings).toMatchObject([
      { code: 'INVALID', entry: 0, position: { line: 1, column: 1 } },
      { code: 'INVALID', entry: 1, position: { line: 2, column: 1 } },
      { code: 'CONFLICT', entry: 2, position: { line: 3, column: 1 } },
    ])
    expect(verdict).toMatchObject({ kind: 'denied', error: { code: 'INVALID' } })
  })

  test('with warnings that have a place, and the composition', () => {
    const verdict = compose(podOf('/app: acme/app:v1'))
    expect(verdict).toMatchObject({
      kind: 'composed',
      composition: { entries: [{ mountPath: '/app' }] },
      warnings: ['"acme" in "acme/app:v1" is a host; "docker.io/acme/app:v1" may be meant'],
      findings: [{ severity: 'warning', annotation: KEY, position: { line: 1, column: 1 } }],
    })
  })

  test('with a throw to a bug alone', () => {
    const parse = () => {
      throw new TypeError('bug')
    }
    expect(() => compose(podOf('/app: x'), { parse })).toThrow(TypeError)
  })

  test('with its own sidecars where it is given them', () => {
    const spec = { containers: [{ name: 'java' }, { name: 'mine' }, { name: 'istio-proxy' }] }
    const verdict = compose(podOf('/app: ghcr.io/acme/app:v1', spec), { sidecars: ['mine'] })
    if (verdict.kind === 'denied') throw verdict.error
    const { containers } = verdict.pod['spec'] as { containers: object[] }
    expect(containers.map((container) => 'volumeMounts' in container)).toEqual([true, false, true])
  })
})

describe('compose of a template', () => {
  const template: ComposeContext = { origin: 'template' }
  const withContainers = (list: string) =>
    podOf(`/app: {reference: ghcr.io/acme/app:v1, containers: ${list}}`)

  test.each(['istio-proxy', 'init:istio-proxy', 'linkerd-proxy', 'daprd'])(
    'expects that %s is injected later, with a warning',
    (sidecar) => {
      const pod = withContainers(`["${sidecar}", java]`)
      expect(compose(pod).kind).toBe('denied')
      expect(compose(pod, template)).toMatchObject({
        kind: 'composed',
        warnings: [`Container "${sidecar}" is not in the template: expected to be injected`],
      })
    },
  )

  test('denies a container that nothing injects, as for the pod', () => {
    const pod = withContainers('[php]')
    expect(compose(pod, template)).toStrictEqual(compose(pod))
  })

  test('warns of a tag that moves, where a person can mend it', () => {
    const pod = podOf('/app: ghcr.io/acme/app:latest')
    expect(compose(pod)).toMatchObject({ warnings: [] })
    expect(compose(pod, template)).toMatchObject({
      warnings: [
        'Tag "latest" moves: pods may differ; expected a version or digest in "ghcr.io/acme/app:latest"',
      ],
    })
  })

  test('does not warn of one with a digest', () => {
    const pod = podOf(`/app: ghcr.io/acme/app:latest@sha256:${'9'.repeat(64)}`)
    expect(compose(pod, template)).toMatchObject({ warnings: [] })
  })
})

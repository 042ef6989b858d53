import { describe, expect, test } from 'vitest'
import { mutate } from '../../webhook/mutate.ts'
import { thrownBy } from '../support/thrown.ts'

const KEY = 'oras.land/artifacts'
const APP = '/app: ghcr.io/acme/app:v1'

interface PodOptions {
  readonly artifacts?: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly spec?: Readonly<Record<string, unknown>>
}

const podOf = ({ artifacts = APP, annotations = {}, spec = {} }: PodOptions) => ({
  metadata: { annotations: { [KEY]: artifacts, ...annotations } },
  spec: { containers: [{ name: 'java' }], ...spec },
})

const composed = (options: PodOptions) => mutate(podOf(options))

/** The parts of a composed pod that tests look at. */
const specOf = (options: PodOptions) => composed(options).pod['spec']
const volumesOf = (options: PodOptions) => Reflect.get(specOf(options) as object, 'volumes')

const volume = (name: string, attributes: Record<string, string>, secret?: string) => ({
  name,
  csi: {
    driver: 'csi.oras.land',
    readOnly: true,
    ...(secret !== undefined && { nodePublishSecretRef: { name: secret } }),
    volumeAttributes: attributes,
  },
})
const appVolume = (secret?: string) =>
  volume('oras-app', { 'oras.artifact.reference': 'ghcr.io/acme/app:v1' }, secret)
const appMount = { name: 'oras-app', mountPath: '/app', readOnly: true }

describe('compose', () => {
  test('makes volumes, mounts and the status of an annotation', () => {
    const { pod, warnings, findings } = composed({})
    expect({ pod, warnings, findings }).toStrictEqual({
      pod: {
        metadata: {
          annotations: {
            [KEY]: APP,
            'oras.land/status':
              '{"volumes":[{"name":"oras-app","reference":"ghcr.io/acme/app:v1","mounts":[{"container":"java","mountPath":"/app"}]}]}',
          },
        },
        spec: {
          containers: [{ name: 'java', volumeMounts: [appMount] }],
          volumes: [appVolume()],
        },
      },
      warnings: [],
      findings: [],
    })
  })

  test('gives back a pod without the annotation as it is', () => {
    const pod = { metadata: { annotations: { 'oras.land/artefacts': 'x' } }, spec: {} }
    const result = mutate(pod)
    expect(result.pod).toBe(pod)
    expect(result.warnings).toStrictEqual([
      'Unknown annotation "oras.land/artefacts"; did you mean "oras.land/artifacts"?',
    ])
  })

  test('leaves its input alone', () => {
    const pod = podOf({ spec: { volumes: [{ name: 'x', emptyDir: {} }] } })
    const before = structuredClone(pod)
    mutate(pod)
    expect(pod).toStrictEqual(before)
  })

  test('appends to what there is, and keeps fields it does not know', () => {
    const spec = {
      hostNetwork: true,
      future: { field: [1, null] },
      volumes: [{ name: 'data', emptyDir: {} }],
      containers: [
        { name: 'java', volumeMounts: [{ name: 'data', mountPath: '/data', future: true }] },
      ],
      ephemeralContainers: [{ name: 'debug' }],
    }
    expect(specOf({ spec })).toStrictEqual({
      ...spec,
      volumes: [{ name: 'data', emptyDir: {} }, appVolume()],
      containers: [
        {
          name: 'java',
          volumeMounts: [{ name: 'data', mountPath: '/data', future: true }, appMount],
        },
      ],
    })
  })

  test('treats null as an empty list', () => {
    const spec = { volumes: null, containers: [{ name: 'java', volumeMounts: null }] }
    expect(specOf({ spec })).toStrictEqual({
      volumes: [appVolume()],
      containers: [{ name: 'java', volumeMounts: [appMount] }],
    })
  })

  test('passes pull policy and subPath on', () => {
    const artifacts =
      '/app.jar: {reference: ghcr.io/acme/app:v1, subPath: lib/app.jar, pullPolicy: Always}'
    expect(specOf({ artifacts })).toStrictEqual({
      containers: [
        {
          name: 'java',
          volumeMounts: [
            { name: 'oras-app-jar', mountPath: '/app.jar', readOnly: true, subPath: 'lib/app.jar' },
          ],
        },
      ],
      volumes: [
        volume('oras-app-jar', {
          'oras.artifact.reference': 'ghcr.io/acme/app:v1',
          'oras.options.pullpolicy': 'Always',
          'oras.options.subpaths': 'lib/app.jar',
        }),
      ],
    })
  })

  test('readOnly: false becomes a writable volume, its mounts too, and nothing more when it runs again', () => {
    const artifacts = '/app: {reference: ghcr.io/acme/app:v1, readOnly: false}'
    const once = composed({ artifacts })
    expect(once.pod['spec']).toStrictEqual({
      containers: [{ name: 'java', volumeMounts: [{ name: 'oras-app', mountPath: '/app' }] }],
      volumes: [
        {
          name: 'oras-app',
          csi: {
            driver: 'csi.oras.land',
            readOnly: false,
            volumeAttributes: {
              'oras.artifact.reference': 'ghcr.io/acme/app:v1',
              'oras.options.writable': 'true',
            },
          },
        },
      ],
    })
    expect(once.warnings).toStrictEqual([])
    expect(mutate(once.pod).pod).toBe(once.pod)
  })

  test('one artifact, writable here and read-only there, is two volumes', () => {
    const artifacts = `
/data: {reference: ghcr.io/acme/app:v1, readOnly: false}
/app: ghcr.io/acme/app:v1
/more: {reference: ghcr.io/acme/app:v1, readOnly: false}
`
    expect(specOf({ artifacts })).toMatchObject({
      containers: [
        {
          volumeMounts: [
            { name: 'oras-data', mountPath: '/data' },
            { name: 'oras-app', mountPath: '/app', readOnly: true },
            { name: 'oras-data', mountPath: '/more' },
          ],
        },
      ],
      volumes: [{ name: 'oras-data' }, { name: 'oras-app' }],
    })
  })

  test('an entry inside a writable one: the runtime makes the directory to mount it on', () => {
    const artifacts = `
/app: {reference: ghcr.io/acme/app:v1, readOnly: false}
/app/lib: ghcr.io/acme/lib:1
`
    const { pod, warnings } = composed({ artifacts })
    expect(Reflect.get(pod['spec'] as object, 'volumes')).toHaveLength(2)
    expect(warnings).toStrictEqual([])
  })

  test('passes on what is wanted of an artifact, and how', () => {
    const artifacts = `
/plugins:
  reference: ghcr.io/acme/app:v1
  select:
    mediaTypes: [application/java-archive, "text/*"]
    annotations: {com.acme.kind: "plugin,*", com.acme.tier: [a, b]}
    files: ["*.jar", "!*-sources.jar"]
  path: lib
  unpack: always
  platform: linux/aarch64
  modes: keep
`
    const attributes = {
      'oras.artifact.reference': 'ghcr.io/acme/app:v1',
      'oras.artifact.layers.mediatype': 'application/java-archive,text/*',
      'oras.artifact.layers.annotations': '{"com.acme.kind":"plugin,*","com.acme.tier":["a","b"]}',
      'oras.artifact.files': '["*.jar","!*-sources.jar"]',
      'oras.artifact.path': 'lib',
      'oras.artifact.platform': 'linux/arm64',
      'oras.artifact.unpack': 'always',
      'oras.artifact.modes': 'keep',
    }
    expect(volumesOf({ artifacts })).toStrictEqual([volume('oras-plugins', attributes)])
    expect(composed({ artifacts }).warnings).toStrictEqual([])
  })

  test('makes a volume for each of several selections from one artifact', () => {
    const artifacts = `
/a: {reference: ghcr.io/acme/app:v1, select: {files: [a]}}
/b: {reference: ghcr.io/acme/app:v1, select: {files: [b]}}
/a-again: {reference: ghcr.io/acme/app:v1, select: {files: [a]}}
/arm: {reference: ghcr.io/acme/app:v1, platform: linux/arm64}
/whole: ghcr.io/acme/app:v1
`
    const reference = { 'oras.artifact.reference': 'ghcr.io/acme/app:v1' }
    expect(volumesOf({ artifacts })).toStrictEqual([
      volume('oras-a', { ...reference, 'oras.artifact.files': '["a"]' }),
      volume('oras-b', { ...reference, 'oras.artifact.files': '["b"]' }),
      volume('oras-arm', { ...reference, 'oras.artifact.platform': 'linux/arm64' }),
      volume('oras-whole', reference),
    ])
  })

  test('makes one volume of one artifact that is mounted at several paths', () => {
    const artifacts = `
/app/a.jar: {reference: ghcr.io/acme/app:v1, subPath: a.jar}
/opt/b.jar: {reference: ghcr.io/acme/app:v1, subPath: b.jar, name: app}
/whole: ghcr.io/acme/app:v1
`
    expect(specOf({ artifacts })).toStrictEqual({
      containers: [
        {
          name: 'java',
          volumeMounts: [
            { name: 'oras-app', mountPath: '/app/a.jar', readOnly: true, subPath: 'a.jar' },
            { name: 'oras-app', mountPath: '/opt/b.jar', readOnly: true, subPath: 'b.jar' },
            { name: 'oras-app', mountPath: '/whole', readOnly: true },
          ],
        },
      ],
      volumes: [
        volume('oras-app', {
          'oras.artifact.reference': 'ghcr.io/acme/app:v1',
          'oras.options.subpaths': 'a.jar,b.jar',
        }),
      ],
    })
  })

  test('makes two volumes where secrets or names differ', () => {
    const artifacts = `
/a: {reference: ghcr.io/acme/app:v1, pullSecret: one}
/b: {reference: ghcr.io/acme/app:v1, pullSecret: two}
/c: {reference: ghcr.io/acme/app:v1, pullSecret: two, name: other}
/d: {reference: ghcr.io/acme/app:v1, pullSecret: two, name: another}
`
    const attributes = { 'oras.artifact.reference': 'ghcr.io/acme/app:v1' }
    expect(volumesOf({ artifacts })).toStrictEqual([
      volume('oras-a', attributes, 'one'),
      volume('oras-other', attributes, 'two'),
      volume('oras-another', attributes, 'two'),
    ])
  })
})

describe('compose selects', () => {
  const spec = {
    initContainers: [{ name: 'setup' }, { name: 'java' }],
    containers: [
      { name: 'java' },
      { name: 'worker-1' },
      { name: 'worker-2' },
      { name: 'istio-proxy' },
    ],
  }
  const mountedIn = (artifacts: string, annotations: Record<string, string> = {}) => {
    const { pod } = composed({ artifacts, annotations, spec })
    const status = Reflect.get(
      Reflect.get(pod['metadata'] as object, 'annotations') as object,
      'oras.land/status',
    )
    const { volumes } = JSON.parse(status as string) as {
      volumes: { mounts: { container: string }[] }[]
    }
    return volumes.flatMap(({ mounts }) => mounts.map(({ container }) => container))
  }
  const withContainers = (list: string) =>
    `/app: {reference: ghcr.io/acme/app:v1, containers: ${list}}`

  test.each([
    [
      'every regular container except mesh sidecars by default',
      APP,
      ['java', 'worker-1', 'worker-2'],
    ],
    ['by name', withContainers('[java]'), ['java']],
    ['by glob', withContainers('["worker-*"]'), ['worker-1', 'worker-2']],
    ['init containers', withContainers('["init:*"]'), ['init:setup', 'init:java']],
    ['both kinds', withContainers('[java, init:setup]'), ['init:setup', 'java']],
    ['a sidecar that is named', withContainers('[istio-proxy]'), ['istio-proxy']],
    ['each once', withContainers('[java, "*a*", java]'), ['java']],
    ['what is there of what is optional', withContainers('["debug?", java]'), ['java']],
    ['nothing where all is optional', withContainers('["debug?"]'), []],
  ])('%s', (_name, artifacts, expected) => {
    expect(mountedIn(artifacts)).toStrictEqual(expected)
  })

  test('by the pod-wide annotation', () => {
    expect(mountedIn(APP, { 'oras.land/containers': 'worker-2' })).toStrictEqual(['worker-2'])
  })

  test('no volume that nothing mounts', () => {
    const artifacts = withContainers('["debug?"]')
    expect(specOf({ artifacts })).toStrictEqual({ containers: [{ name: 'java' }] })
  })

  test.each([
    [
      'a name that does not exist, with those that do',
      withContainers('[jva]'),
      `INVALID Invalid ${KEY}["/app"].containers[0] (line 1, column 53): container "jva" does not exist; this pod has "init:setup", "init:java", "java", "worker-1", "worker-2", "istio-proxy"; did you mean "java"?`,
    ],
    [
      'a glob that matches nothing',
      withContainers('["init:x*"]'),
      `INVALID Invalid ${KEY}["/app"].containers[0] (line 1, column 53): container "init:x*" does not exist; this pod has "init:setup", "init:java", "java", "worker-1", "worker-2", "istio-proxy"; expected one of them, or "init:x*?" where it may be missing`,
    ],
  ])('not %s', (_name, artifacts, message) => {
    expect(thrownBy(() => mountedIn(artifacts))).toBe(message)
  })

  test('not a pod of sidecars alone', () => {
    expect(thrownBy(() => composed({ spec: { containers: [{ name: 'linkerd-proxy' }] } }))).toBe(
      `INVALID Invalid ${KEY}["/app"] (line 1, column 1): no container to mount it in: this pod has "linkerd-proxy"; expected "containers" to name one`,
    )
  })
})

describe('compose takes as the secret', () => {
  const imagePullSecrets = [{ name: 'regcred' }]

  test('the only imagePullSecret, and says so', () => {
    const options = { spec: { imagePullSecrets: [{}, { name: '' }, ...imagePullSecrets] } }
    expect(volumesOf(options)).toStrictEqual([appVolume('regcred')])
    expect(composed(options).warnings).toStrictEqual([
      'Took imagePullSecret "regcred" (else see oras.land/pull-secret); the pod waits while it is missing',
    ])
  })

  test('none of several imagePullSecrets, and says so', () => {
    const options = { spec: { imagePullSecrets: [{ name: 'a' }, { name: 'b' }] } }
    expect(volumesOf(options)).toStrictEqual([appVolume()])
    expect(composed(options).warnings).toStrictEqual([
      'Took none of 2 imagePullSecrets: name one in oras.land/pull-secret ("" for none)',
    ])
  })

  test.each([
    ['that of the annotation', { 'oras.land/pull-secret': 'acme' }, APP, 'acme'],
    ['none where the annotation is empty', { 'oras.land/pull-secret': '' }, APP, undefined],
    [
      'that of the entry',
      { 'oras.land/pull-secret': 'acme' },
      '/app: {reference: ghcr.io/acme/app:v1, pullSecret: mine}',
      'mine',
    ],
  ])('%s, without a warning', (_name, annotations, artifacts, secret) => {
    const options = { artifacts, annotations, spec: { imagePullSecrets } }
    expect(volumesOf(options)).toStrictEqual([appVolume(secret)])
    expect(composed(options).warnings).toStrictEqual([])
  })

  test('none for an entry that wants none, beside one that takes the default', () => {
    const artifacts = `
/a: {reference: ghcr.io/acme/app:v1, pullSecret: ""}
/b: ghcr.io/acme/app:v1
`
    const attributes = { 'oras.artifact.reference': 'ghcr.io/acme/app:v1' }
    expect(volumesOf({ artifacts, spec: { imagePullSecrets } })).toStrictEqual([
      volume('oras-a', attributes),
      volume('oras-b', attributes, 'regcred'),
    ])
  })

  test('an imagePullSecret that another webhook added after the first run', () => {
    const first = mutate(podOf({})).pod
    const spec = { ...(first['spec'] as object), imagePullSecrets }
    const second = mutate({ ...first, spec }).pod
    expect(Reflect.get(second['spec'] as object, 'volumes')).toStrictEqual([appVolume('regcred')])
  })
})

describe('compose, run again,', () => {
  test('gives back its own output as it is', () => {
    const { pod } = composed({})
    expect(mutate(pod).pod).toBe(pod)
  })

  test('adds the mount to a container that came later', () => {
    const { pod } = composed({})
    const spec = pod['spec'] as { containers: object[] }
    const later = { ...pod, spec: { ...spec, containers: [...spec.containers, { name: 'late' }] } }
    expect(mutate(later).pod['spec']).toStrictEqual({
      containers: [
        { name: 'java', volumeMounts: [appMount] },
        { name: 'late', volumeMounts: [appMount] },
      ],
      volumes: [appVolume()],
    })
  })

  test('does not trust a status that somebody wrote', () => {
    const forged = composed({ annotations: { 'oras.land/status': '{"volumes":[]}' } })
    expect(forged.pod).toStrictEqual(composed({}).pod)
  })
})

describe('compose refuses', () => {
  const mounts = (...volumeMounts: object[]) => ({
    containers: [{ name: 'java', volumeMounts }],
  })

  test.each<[string, PodOptions, string]>([
    [
      'a path that another mount has',
      { spec: mounts({ name: 'data', mountPath: '/app/' }) },
      `INVALID Invalid ${KEY}["/app"] (line 1, column 1): container "java" mounts volume "data" at "/app" already; expected a free path`,
    ],
    [
      'a mount like ours that is writable',
      { spec: mounts({ name: 'oras-app', mountPath: '/app' }) },
      `INVALID Invalid ${KEY}["/app"] (line 1, column 1): container "java" mounts volume "oras-app" at "/app" already; expected a free path`,
    ],
    [
      'a mount like ours that is read-only, of a writable volume',
      {
        artifacts: '/app: {reference: ghcr.io/acme/app:v1, readOnly: false}',
        spec: mounts(appMount),
      },
      `INVALID Invalid ${KEY}["/app"] (line 1, column 1): container "java" mounts volume "oras-app" at "/app" already; expected a free path`,
    ],
    [
      'a writable volume in a user namespace',
      {
        artifacts: `${APP}\n/data: {reference: ghcr.io/acme/data:v1, readOnly: false}`,
        spec: { hostUsers: false },
      },
      `INVALID Invalid ${KEY}["/data"] (line 2, column 1): "readOnly" is false, and the pod has "hostUsers: false"; a writable volume cannot be mounted in a user namespace: expected one of them only`,
    ],
    [
      'a writable path inside a read-only entry',
      { artifacts: `${APP}\n/app/lib: {reference: ghcr.io/acme/lib:1, readOnly: false}` },
      `INVALID Invalid ${KEY}["/app/lib"] (line 2, column 1): "/app/lib" lies inside "/app" of ${KEY}["/app"], which is read-only; expected a path outside it`,
    ],
    [
      'the path of a block device',
      { spec: { containers: [{ name: 'java', volumeDevices: [{ devicePath: '/app' }] }] } },
      `INVALID Invalid ${KEY}["/app"] (line 1, column 1): container "java" uses "/app" for a block device or its termination message; expected a free path`,
    ],
    [
      'the path of the termination message',
      { spec: { containers: [{ name: 'java', terminationMessagePath: '/app' }] } },
      `INVALID Invalid ${KEY}["/app"] (line 1, column 1): container "java" uses "/app" for a block device or its termination message; expected a free path`,
    ],
    [
      'a path inside that of another entry',
      { artifacts: `${APP}\n/app/lib: ghcr.io/acme/lib:1` },
      `INVALID Invalid ${KEY}["/app/lib"] (line 2, column 1): "/app/lib" lies inside "/app" of ${KEY}["/app"], which is read-only; expected a path outside it`,
    ],
    [
      'a path around that of another entry',
      { artifacts: `/app/lib: ghcr.io/acme/lib:1\n${APP}` },
      `INVALID Invalid ${KEY}["/app/lib"] (line 1, column 1): "/app/lib" lies inside "/app" of ${KEY}["/app"], which is read-only; expected a path outside it`,
    ],
    [
      'two entries at one path of one container',
      {
        artifacts: `
- {reference: ghcr.io/acme/app:v1, mountPath: /app}
- {reference: ghcr.io/acme/lib:1, mountPath: /app, containers: [java]}
`,
      },
      `INVALID Invalid ${KEY}[1] (line 3, column 3): "/app" of container "java" is that of ${KEY}[0] already; artifacts at one mount path are one volume: expected the same "containers"`,
    ],
    [
      'one name for two volumes',
      {
        artifacts: `
/a: {reference: ghcr.io/acme/a:1, name: x}
/b: {reference: ghcr.io/acme/b:1, name: x}
`,
      },
      `INVALID Invalid ${KEY}["/b"] (line 3, column 1): name "x" is that of ${KEY}["/a"] already, which is another volume; expected another name`,
    ],
    [
      'more attributes than a volume may have, for the entry that has them',
      {
        artifacts: `/app: {reference: ghcr.io/acme/app:v1, select: {files: [${Array.from({ length: 64 }, (_, at) => `${'ä'.repeat(200)}${at}`).join(', ')}]}}`,
      },
      `INVALID Invalid ${KEY}["/app"] (line 1, column 1): the volume attributes have 25972 bytes; expected at most 16384`,
    ],
    [
      'a volume of our name with other content',
      { spec: { volumes: [{ name: 'oras-app', emptyDir: {} }] } },
      `CONFLICT Cannot add volume "oras-app" for ${KEY}["/app"]: the pod has one of that name with other content: "emptyDir", not "ghcr.io/acme/app:v1" no secret; expected "name" in the entry to name it otherwise`,
    ],
    [
      'a volume of our name with another artifact',
      {
        spec: {
          volumes: [volume('oras-app', { 'oras.artifact.reference': 'evil.example/x:1' }, 's')],
        },
      },
      `CONFLICT Cannot add volume "oras-app" for ${KEY}["/app"]: the pod has one of that name with other content: "evil.example/x:1" secret "s", not "ghcr.io/acme/app:v1" no secret; expected "name" in the entry to name it otherwise`,
    ],
    [
      'a volume of our name with one attribute more',
      {
        spec: {
          volumes: [
            volume('oras-app', {
              'oras.artifact.reference': 'ghcr.io/acme/app:v1',
              'oras.options.insecure': 'true',
            }),
          ],
        },
      },
      `CONFLICT Cannot add volume "oras-app" for ${KEY}["/app"]: the pod has one of that name with other content: "ghcr.io/acme/app:v1" oras.options.insecure="true" no secret, not "ghcr.io/acme/app:v1" no secret; expected "name" in the entry to name it otherwise`,
    ],
    [
      'Windows pods, by os',
      { spec: { os: { name: 'windows' } } },
      `INVALID Cannot apply ${KEY}: this is a Windows pod: "spec.os.name" is "windows"; expected a Linux one`,
    ],
    [
      'Windows pods, by node selector',
      { spec: { nodeSelector: { 'kubernetes.io/os': 'windows' } } },
      `INVALID Cannot apply ${KEY}: this is a Windows pod: "spec.nodeSelector" has "kubernetes.io/os: windows"; expected a Linux one`,
    ],
    [
      'the attack: a pod of so many containers that it would have 320,000 mounts',
      {
        artifacts: Array.from({ length: 32 }, (_, at) => `/${at}: ghcr.io/acme/app:v1`).join('\n'),
        spec: { containers: Array.from({ length: 10_000 }, (_, at) => ({ name: `c${at}` })) },
      },
      `INVALID Cannot apply ${KEY}: it asks for 320000 mounts in this pod; expected at most 8192, e.g. by "containers"`,
    ],
    [
      'the attack: as many variables',
      {
        artifacts: `/app: {reference: ghcr.io/acme/app:v1, env: [${Array.from({ length: 40 }, (_, at) => `{name: A${at}, value: b}`).join(', ')}]}`,
        spec: { containers: Array.from({ length: 1000 }, (_, at) => ({ name: `c${at}` })) },
      },
      `INVALID Cannot apply ${KEY}: it asks for 40000 variables in this pod; expected at most 8192, e.g. by "containers"`,
    ],
    [
      'what is no pod',
      { spec: { containers: 'java' } },
      'INVALID Invalid pod: spec.containers is not a list of objects',
    ],
  ])('%s', (_name, options, message) => {
    expect(thrownBy(() => composed(options))).toBe(message)
  })

  test('an annotation that is not text', () => {
    const pod = { metadata: { annotations: { 'oras.land/containers': 8 } }, spec: {} }
    expect(thrownBy(() => mutate(pod))).toBe(
      'INVALID Invalid oras.land/containers: found number; expected text',
    )
  })

  test('the same path in containers apart: not', () => {
    const artifacts = `
- {reference: ghcr.io/acme/app:v1, mountPath: /app, containers: [java]}
- {reference: ghcr.io/acme/app:v2, mountPath: /app, containers: [php]}
`
    const spec = { containers: [{ name: 'java' }, { name: 'php' }] }
    expect(specOf({ artifacts, spec })).toStrictEqual({
      containers: [
        { name: 'java', volumeMounts: [appMount] },
        { name: 'php', volumeMounts: [{ ...appMount, name: 'oras-app-0e1ff9ba' }] },
      ],
      volumes: [
        appVolume(),
        volume('oras-app-0e1ff9ba', { 'oras.artifact.reference': 'ghcr.io/acme/app:v2' }),
      ],
    })
  })
})

describe('compose warns', () => {
  test.each<[string, Record<string, unknown>, string[]]>([
    [
      'of a mount inside an artifact',
      { containers: [{ name: 'java', volumeMounts: [{ name: 'd', mountPath: '/app/data' }] }] },
      ['java: the artifact at "/app" must hold "/app/data", where something is mounted'],
    ],
    [
      'of an artifact inside a read-only mount',
      {
        containers: [
          { name: 'java', volumeMounts: [{ name: 'd', mountPath: '/', readOnly: true }] },
        ],
      },
      ['java: volume "d" must hold "/app", where something is mounted'],
    ],
    [
      'not of an artifact inside a writable mount',
      { containers: [{ name: 'java', volumeMounts: [{ name: 'd', mountPath: '/' }] }] },
      [],
    ],
  ])('%s', (_name, spec, warnings) => {
    expect(composed({ spec }).warnings).toStrictEqual(warnings)
  })

  test('of attributes beyond what CSI allows for', () => {
    const entry = { reference: 'ghcr.io/acme/app:v1' }
    const entries = Array.from({ length: 25 }, (_, index) => ({
      ...entry,
      mountPath: `/app/${index}`,
      subPath: `${index}${'a'.repeat(180)}`,
    }))
    expect(composed({ artifacts: JSON.stringify(entries) }).warnings).toStrictEqual([
      'Volume "oras-app-0" has 4627 bytes of attributes; CSI allows for 4096',
    ])
  })
})

import fc from 'fast-check'
import { isCodedError } from '../../common/errors.ts'
import type { JsonObject } from '../../webhook/json.ts'
import { mutate } from '../../webhook/mutate.ts'

// Unknown fields anywhere, keys that JSON Pointer must escape, lists absent, empty or null.
const keys = fc.oneof(
  fc.constantFrom('a/b', 'a~b', '~1', 'image', 'securityContext', '0', '-', 'future'),
  fc.stringMatching(/^[a-z]{1,6}$/),
)
const extras = fc.dictionary(keys, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 })
const maybe = <T>(values: fc.Arbitrary<T>) =>
  fc.option(values, { nil: undefined, freq: 3 }).map((value) => value)
/** Of containers. */
export const containerNames = fc.constantFrom(
  'app',
  'web',
  'worker-1',
  'worker-2',
  'setup',
  'istio-proxy',
)
const mounts = fc.uniqueArray(
  fc
    .record({
      others: extras,
      name: fc.constantFrom('data', 'cm'),
      mountPath: fc.stringMatching(/^\/u[a-z]{1,4}$/),
    })
    .map(({ others, ...mount }) => ({ ...others, ...mount })),
  { selector: ({ mountPath }) => mountPath, maxLength: 3 },
)
/** Variables of every kind there is, and one that is not yet; a name may be there twice. */
const variableNames = fc.constantFrom('APP_HOME', 'CLASSPATH', 'PATH', 'RULES', 'OTHER')
const reference = { name: 'settings', key: 'a/b~c' }
const variables = fc.array(
  fc
    .record({
      others: extras,
      name: variableNames,
      how: fc.constantFrom(
        {},
        { value: '' },
        { value: '/bin:/usr/bin' },
        { value: '$(OTHER):/libs/*' },
        { value: '/libs/*' },
        { valueFrom: { configMapKeyRef: reference } },
        { valueFrom: { configMapKeyRef: { ...reference, optional: true } } },
        { valueFrom: { secretKeyRef: { ...reference, optional: false } } },
        { valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'status.podIP' } } },
        { valueFrom: { resourceFieldRef: { resource: 'limits.cpu', divisor: '0' } } },
        { valueFrom: { fileKeyRef: { volumeName: 'data', path: 'x', key: 'y' } } },
        { valueFrom: { futureRef: { nested: [1] } } },
      ),
    })
    .map(({ others, name, how }) => ({ ...withoutVariableFields(others), name, ...how })),
  { maxLength: 4 },
)
const containers = (minLength: number) =>
  fc.uniqueArray(
    fc
      .record({
        others: extras,
        name: containerNames,
        volumeMounts: maybe(fc.oneof(mounts, fc.constant(null))),
        env: maybe(fc.oneof(variables, fc.constant(null))),
        envFrom: maybe(fc.constantFrom([], [{ configMapRef: { name: 'settings' } }])),
        restartPolicy: maybe(fc.constant('Always')),
      })
      .map(({ others, ...container }) => defined({ ...others, ...container })),
    { selector: (container) => container['name'], minLength, maxLength: 4 },
  )
const volumes = fc.constantFrom(
  [],
  null,
  [{ name: 'data', emptyDir: {} }],
  [
    { name: 'data', hostPath: { path: '/x' }, future: 1 },
    { name: 'cm', configMap: { name: 'cm', items: [] } },
    {
      name: 'kube-api-access-x7k2p',
      projected: {
        defaultMode: 420,
        sources: [
          { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
          { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
          {
            downwardAPI: {
              items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }],
            },
          },
        ],
      },
    },
  ],
)
const ephemeralContainers = fc.constantFrom(
  [],
  [{ name: 'debugger-x7k', image: 'busybox', targetContainerName: 'app', env: [], future: {} }],
)
const secrets = fc.constantFrom([], [{ name: 'regcred' }], [{ name: 'a' }, { name: 'b' }])

const single = fc.uniqueArray(
  fc.record(
    {
      reference: fc.constantFrom('ghcr.io/acme/app:v1', 'ghcr.io/acme/lib:2', 'acme/x:latest'),
      mountPath: fc.constantFrom('/app', '/opt/app', '/opt-app', '/Opt/App', '/lib/x.jar', '/___'),
      name: fc.constantFrom('app', 'lib'),
      containers: fc.constantFrom(
        ['*'],
        ['app?', 'init:setup?'],
        ['worker-*?'],
        ['init:*?', 'web?'],
      ),
      subPath: fc.constantFrom('a.jar', 'lib/b'),
      pullSecret: fc.constantFrom('', 'acme'),
      pullPolicy: fc.constantFrom('Always', 'Never'),
      path: fc.constantFrom('/', 'lib'),
      platform: fc.constantFrom('linux/amd64', 'linux/aarch64/v8'),
      unpack: fc.constantFrom('auto', 'never'),
      readOnly: fc.boolean(),
      select: fc.constantFrom(
        { files: ['*.jar', '!a,b'] },
        { mediaTypes: ['text/*'], annotations: { a: 'x,*', b: ['y', 'z'] } },
      ),
      env: fc.array(
        fc.constantFrom(
          { name: 'APP_HOME', value: '/app' },
          { name: 'CLASSPATH', append: '/libs/*', base: '' },
          { name: 'CLASSPATH', prepend: '/app/*:/more/*' },
          { name: 'PATH', prepend: '/app/bin', base: '/usr/bin:/bin' },
          { name: 'RULES', append: '$(OTHER)', separator: ', ', base: 'none' },
        ),
        { minLength: 1, maxLength: 3 },
      ),
    },
    { requiredKeys: ['reference', 'mountPath'] },
  ),
  { selector: ({ mountPath }) => mountPath, minLength: 1, maxLength: 4 },
)
/** Some share a mount path, and then agree on the rest. */
const entries = fc
  .tuple(single, fc.boolean())
  .map(([list, shared]) =>
    shared
      ? [...list, ...list.map((entry) => ({ ...entry, reference: 'ghcr.io/acme/more:1' }))]
      : list,
  )

/** Pods as users write them, as JSON has them, each with a composition; two in three can be composed. */
export const pods: fc.Arbitrary<JsonObject> = fc
  .record({
    top: extras,
    metadata: extras,
    annotations: fc.dictionary(keys, fc.string()),
    spec: extras,
    initContainers: maybe(containers(0)),
    containers: containers(1),
    ephemeralContainers: maybe(ephemeralContainers),
    volumes: maybe(volumes),
    imagePullSecrets: maybe(secrets),
    entries,
  })
  .map((parts) =>
    // As it comes from the API server: JSON.
    JSON.parse(
      JSON.stringify({
        ...parts.top,
        metadata: {
          ...parts.metadata,
          annotations: {
            ...parts.annotations,
            'oras.land/artifacts': JSON.stringify(parts.entries),
          },
        },
        spec: {
          ...parts.spec,
          ...defined({
            initContainers: parts.initContainers,
            containers: parts.containers,
            ephemeralContainers: parts.ephemeralContainers,
            volumes: parts.volumes,
            imagePullSecrets: parts.imagePullSecrets,
          }),
        },
      }),
    ),
  )

function defined(object: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))
}

/** Composes, or gives undefined for a pod that is denied. */
export function composed(pod: JsonObject): JsonObject | undefined {
  try {
    return mutate(pod).pod
  } catch (error) {
    if (isCodedError(error, 'INVALID', 'CONFLICT')) return undefined
    throw error
  }
}

function withoutVariableFields(object: Record<string, unknown>): Record<string, unknown> {
  const { value: _, valueFrom: __, ...rest } = object
  return rest
}

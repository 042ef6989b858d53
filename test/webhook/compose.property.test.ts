import fc from 'fast-check'
import jsonPatch from 'fast-json-patch'
import { describe, expect, test } from 'vitest'
import { isCodedError } from '../../common/errors.ts'
import { compare } from '../../webhook/compare.ts'
import type { JsonObject } from '../../webhook/json.ts'
import { mutate } from '../../webhook/mutate.ts'

const OURS = /^(?:oras-|oras\.land\/)/

// Pods as users write them: unknown fields anywhere, keys that JSON Pointer must escape, lists absent, empty or null.
const keys = fc.oneof(
  fc.constantFrom('a/b', 'a~b', '~1', 'image', 'securityContext', '0', '-', 'future'),
  fc.stringMatching(/^[a-z]{1,6}$/),
)
const extras = fc.dictionary(keys, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 })
const maybe = <T>(values: fc.Arbitrary<T>) =>
  fc.option(values, { nil: undefined, freq: 3 }).map((value) => value)
const names = fc.constantFrom('app', 'web', 'worker-1', 'worker-2', 'setup', 'istio-proxy')
const mounts = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom('data', 'cm'),
    mountPath: fc.stringMatching(/^\/u[a-z]{1,4}$/),
  }),
  { selector: ({ mountPath }) => mountPath, maxLength: 3 },
)
const containers = (minLength: number) =>
  fc.uniqueArray(
    fc
      .tuple(extras, names, maybe(fc.oneof(mounts, fc.constant(null))), maybe(fc.jsonValue()))
      .map(([others, name, volumeMounts, env]) =>
        defined({ ...others, name, volumeMounts, env: Array.isArray(env) ? env : undefined }),
      ),
    { selector: (container) => container['name'], minLength, maxLength: 4 },
  )
const volumes = fc.constantFrom(
  [],
  null,
  [{ name: 'data', emptyDir: {} }],
  [
    { name: 'data', hostPath: { path: '/x' }, future: 1 },
    { name: 'cm', configMap: { name: 'cm', items: [] } },
  ],
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

const pods: fc.Arbitrary<JsonObject> = fc
  .record({
    top: extras,
    metadata: extras,
    annotations: fc.dictionary(keys, fc.string()),
    spec: extras,
    initContainers: maybe(containers(0)),
    containers: containers(1),
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
function composed(pod: JsonObject): JsonObject | undefined {
  try {
    return mutate(pod).pod
  } catch (error) {
    if (isCodedError(error, 'INVALID', 'CONFLICT')) return undefined
    throw error
  }
}

/** A composed pod without anything of ours; lists that only ours were in are gone, as is null. */
function withoutOurs(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.filter((item) => !isOurs(item)).map(withoutOurs)
  }
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !OURS.test(key))
      .map(([key, child]) => [key, withoutOurs(child)])
      .filter(([key, child]) => !isEmptyList(key, child)),
  )
}

const isOurs = (item: unknown) =>
  typeof item === 'object' && item !== null && OURS.test(String(Reflect.get(item, 'name')))

const isEmptyList = (key: unknown, value: unknown) =>
  (key === 'volumes' || key === 'volumeMounts') &&
  (value === null || (Array.isArray(value) && value.length === 0))

describe('compose, for any pod,', () => {
  test('is composed often enough for these properties to mean something', () => {
    const sample = fc.sample(pods, 300).filter((pod) => composed(pod) !== undefined)
    expect(sample.length).toBeGreaterThan(100)
  })

  test('gives what the patch of compare makes of the pod', () => {
    fc.assert(
      fc.property(pods, (pod) => {
        const after = composed(pod)
        if (after === undefined) return
        const patch = compare(pod, after)
        const patched = jsonPatch.applyPatch(structuredClone(pod), patch, true).newDocument
        expect(patched).toStrictEqual(after)
        expect(patch.length).toBeGreaterThan(0)
      }),
      { numRuns: 150 },
    )
  })

  test('changes nothing the second time, and patches nothing', () => {
    fc.assert(
      fc.property(pods, (pod) => {
        const once = composed(pod)
        if (once === undefined) return
        expect(composed(once)).toBe(once)
        expect(compare(once, once)).toStrictEqual([])
        // A copy is not recognised by identity.
        const copy = structuredClone(once)
        expect(compare(copy, composed(copy) ?? {})).toStrictEqual([])
      }),
      { numRuns: 150 },
    )
  })

  test('loses and reorders nothing of the user', () => {
    fc.assert(
      fc.property(pods, (pod) => {
        const before = structuredClone(pod)
        const after = composed(pod)
        expect(pod).toStrictEqual(before)
        if (after === undefined) return
        // As text, so that the order of keys counts too.
        expect(JSON.stringify(withoutOurs(after))).toBe(JSON.stringify(withoutOurs(before)))
      }),
      { numRuns: 150 },
    )
  })

  test('gives the same whether a container is there from the start or comes later', () => {
    fc.assert(
      fc.property(pods, names, (pod, name) => {
        const late = `late-${name}`
        const whole = composed(withContainer(pod, late))
        const first = composed(pod)
        if (whole === undefined || first === undefined) return
        expect(composed(withContainer(first, late))).toStrictEqual(whole)
      }),
      { numRuns: 150 },
    )
  })
})

function withContainer(pod: JsonObject, name: string): JsonObject {
  const spec = pod['spec'] as { containers: object[] }
  return { ...pod, spec: { ...spec, containers: [...spec.containers, { name }] } }
}

import fc from 'fast-check'
import jsonPatch from 'fast-json-patch'
import { describe, expect, test } from 'vitest'
import { compare } from '../../webhook/compare.ts'
import type { JsonObject } from '../../webhook/json.ts'
import { composed, containerNames, pods } from './pod-arbitrary.ts'

const OURS = /^(?:oras-|oras\.land\/)/

/** A composed pod without anything of ours; lists that only ours were in are gone, as is null. */
function withoutOurs(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.filter((item) => !isOurs(item)).map(withoutOurs)
  }
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      // Variables change their values, in ways of their own: below.
      .filter(([key]) => !OURS.test(key) && key !== 'env')
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
    const sample = fc
      .sample(pods, { numRuns: 300, seed: 1 })
      .filter((pod) => composed(pod) !== undefined)
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

  test('keeps each variable of the user: as it is, as a part of the value, or as what the value refers to', () => {
    fc.assert(
      fc.property(pods, (pod) => {
        const after = composed(pod)
        if (after === undefined) return
        const pairs = containersOf(pod).map(
          (one, at) => [one, containersOf(after)[at] ?? {}] as const,
        )
        for (const [one, other] of pairs) checkVariables(variablesOf(one), variablesOf(other))
      }),
      { numRuns: 300 },
    )
  })

  test('touches no ephemeral container', () => {
    fc.assert(
      fc.property(pods, (pod) => {
        const after = composed(pod)
        if (after === undefined) return
        expect(specOf(after)['ephemeralContainers']).toStrictEqual(
          specOf(pod)['ephemeralContainers'],
        )
      }),
      { numRuns: 50 },
    )
  })

  test('gives the same whether a container is there from the start or comes later', () => {
    fc.assert(
      fc.property(pods, containerNames, (pod, name) => {
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

type Variable = { readonly name: string; readonly value?: string; readonly valueFrom?: object }

const specOf = (pod: JsonObject) => pod['spec'] as JsonObject
const containersOf = (pod: JsonObject): JsonObject[] =>
  ['initContainers', 'containers'].flatMap((list) => (specOf(pod)[list] ?? []) as JsonObject[])
const variablesOf = (container: JsonObject) => (container['env'] ?? []) as Variable[]

/** Walks both lists at once: what comes after that was not there before is new, and set in one way. */
function checkVariables(before: readonly Variable[], after: readonly Variable[]): void {
  let at = 0
  for (const variable of before) {
    const found = after[at++]
    if (found?.name === `ORAS_BASE_${variable.name}`) {
      expect(found).toStrictEqual({ ...variable, name: found.name })
      expect(after[at++]).toStrictEqual({
        name: variable.name,
        value: expect.stringContaining(`$(${found.name})`),
      })
    } else if (variable.valueFrom !== undefined) {
      expect(found).toStrictEqual(variable)
    } else {
      const { value: old = '', ...rest } = variable
      const { value = '', ...others } = found ?? { name: '' }
      expect(others).toStrictEqual(rest)
      expect(value).toContain(old)
    }
  }
  for (const added of after.slice(at)) {
    expect(added).toStrictEqual({ name: added.name, value: expect.any(String) })
    expect(before.map(({ name }) => name)).not.toContain(added.name)
  }
}

function withContainer(pod: JsonObject, name: string): JsonObject {
  const spec = pod['spec'] as { containers: object[] }
  return { ...pod, spec: { ...spec, containers: [...spec.containers, { name }] } }
}

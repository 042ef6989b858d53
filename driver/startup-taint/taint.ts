import { CodedError } from '../../common/errors.ts'

/** A taint of a node, as the API has it: a field that this program does not know survives. */
export interface Taint {
  readonly key: string
  readonly [field: string]: unknown
}

/** What the taints of a node say, and where. */
export type JsonPatch = readonly {
  readonly op: 'test' | 'remove'
  readonly path: string
  readonly value?: unknown
}[]

const NAME = '[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?'
const KEY = new RegExp(`^(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?${NAME}$`)

/** Reads the key of a taint, e.g. `csi.oras.land/agent-not-ready`. @throws INVALID */
export function taintKey(value: string): string {
  if (KEY.test(value)) return value
  throw new CodedError(
    'INVALID',
    'expected the key of a taint, without value and effect, e.g. "csi.oras.land/agent-not-ready"',
  )
}

/**
 * Reads the taints of a Node object; empty when it has none. Pure.
 *
 * @throws INTERNAL when it is no such object
 */
export function taintsOf(node: unknown): readonly Taint[] {
  const spec = isObject(node) ? node['spec'] : undefined
  const taints = isObject(spec) ? (spec['taints'] ?? []) : undefined
  if (!Array.isArray(taints) || !taints.every(isTaint)) {
    throw new CodedError('INTERNAL', 'The API server answered with something else than a Node')
  }
  return taints
}

/**
 * The change that takes a taint off, with any value and effect: each place is removed only as long as the very taint stands there, so that whoever
 * adds or removes another one meanwhile loses nothing. Undefined when there is no such taint. Pure.
 */
export function removalOf(taints: readonly Taint[], key: string): JsonPatch | undefined {
  // The last one first: the places of the others stay as they are.
  const places = taints.flatMap((taint, index) => (taint.key === key ? [index] : [])).toReversed()
  if (places.length === 0) return undefined
  return places.flatMap((index) => {
    const path = `/spec/taints/${index}`
    return [{ op: 'test', path, value: taints[index] } as const, { op: 'remove', path } as const]
  })
}

function isObject(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isTaint(value: unknown): value is Taint {
  return isObject(value) && typeof value['key'] === 'string'
}

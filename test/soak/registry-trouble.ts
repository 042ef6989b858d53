import type { Fault, FaultMatch } from '../support/registry/faults.ts'
import type { TestRegistry } from '../support/registry.ts'

const BLOBS: FaultMatch = { method: 'GET', path: /\/blobs\// }
const ANY: FaultMatch = { method: 'GET' }

/** What goes wrong with a registry, and how often. Some of it a pull survives, some of it not. */
const FAULTS = {
  reset: [
    { ...BLOBS, times: 3 },
    { kind: 'reset', afterBytes: 60_000 },
  ],
  truncate: [
    { ...BLOBS, times: 3 },
    { kind: 'truncate', afterBytes: 1_000 },
  ],
  disconnect: [{ ...ANY, times: 4 }, { kind: 'disconnect' }],
  'internal-error': [
    { ...ANY, times: 4 },
    { kind: 'status', status: 500 },
  ],
  unavailable: [
    { ...ANY, times: 200 },
    { kind: 'status', status: 503 },
  ],
  'too-many-requests': [
    { ...ANY, times: 3 },
    { kind: 'status', status: 429, headers: { 'retry-after': '1' } },
  ],
  throttle: [BLOBS, { kind: 'throttle', bytesPerSecond: 3_000_000 }],
  corrupt: [
    { ...BLOBS, times: 2 },
    { kind: 'corrupt', at: 0 },
  ],
  'ignore-range': [BLOBS, { kind: 'ignore-range' }],
  chunked: [BLOBS, { kind: 'chunked' }],
} as const satisfies Record<string, readonly [FaultMatch, Fault]>

export type FaultName = keyof typeof FAULTS | 'stall'

export const FAULT_NAMES: readonly FaultName[] = [
  'reset',
  'truncate',
  'disconnect',
  'internal-error',
  'unavailable',
  'too-many-requests',
  'throttle',
  'corrupt',
  'ignore-range',
  'chunked',
  'stall',
]

/** Trouble that lasts until it is disposed of. */
export interface Trouble extends Disposable {
  /** How many requests each has hit so far. */
  hits(): readonly (readonly [FaultName, count: number])[]
}

/** Lets a registry go wrong in these ways at once. */
export function makeTrouble(registry: TestRegistry, names: readonly FaultName[]): Trouble {
  using stack = new DisposableStack()
  const counts = [...new Set(names)].map((name): readonly [FaultName, () => number] => {
    if (name === 'stall') {
      const gate = stack.use(registry.hold({ ...BLOBS, times: 2, afterBytes: 10_000 }))
      return [name, () => gate.arrivals]
    }
    const [match, fault] = FAULTS[name]
    const active = registry.fault(match, fault)
    stack.defer(() => active.remove())
    return [name, () => active.hits]
  })
  const lasting = stack.move()
  return {
    hits: () => counts.map(([name, count]) => [name, count()] as const),
    [Symbol.dispose]: () => lasting.dispose(),
  }
}

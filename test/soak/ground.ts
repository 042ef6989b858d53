import { setTimeout as sleep } from 'node:timers/promises'
import { load } from '../support/artifact.ts'
import { startNode, type TestDriver, type TestNode } from '../support/driver.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'
import { type SoakArtifact, TAG } from './artifacts.ts'
import { createTags, type SoakPod, type Tags, usedBy, versionAt } from './pods.ts'
import { createTally, type Tally } from './tally.ts'

/** What the store may take. The artifacts have several times as much together, and what runs at once about as much. */
export const MAX_STORE_BYTES = 48 * 1024 * 1024
/** Records, and what a look at it misses of what is being written. */
export const SLACK_BYTES = 2 * 1024 * 1024
/** How long a pull goes on that nobody waits for. */
const LINGER_MS = 2_000

const DRIVER_FLAGS = [
  ...['--max-store-bytes', String(MAX_STORE_BYTES)],
  ...['--eviction-min-age', '0s'],
  ...['--eviction-interval', '500ms'],
  ...['--recovery-interval', '500ms'],
  ...['--pull-linger', `${LINGER_MS}ms`],
  ...['--max-stall', '1s'],
]

/** Found something that must not be. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

/** What a run works on: a registry, a node with a driver, and all that is known of the pods on it. */
export interface Ground extends AsyncDisposable {
  readonly artifacts: readonly SoakArtifact[]
  readonly registry: TestRegistry
  readonly node: TestNode
  /** The one that runs, or did last. */
  readonly driver: TestDriver
  readonly tags: Tags
  readonly tally: Tally
  /** By slot. */
  readonly pods: Map<number, SoakPod>
  /** Pods whose kubelet has gone without a word. */
  readonly abandoned: Set<SoakPod>
  /** Points a tag to its next version. */
  moveTag(artifact: number): void
  /** Ends the driver and starts the next one. */
  restart(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>
  /** Notes what a pod may have had the driver pull. */
  noteUse(pod: SoakPod): void
  /** The most that the store has to keep: of the pods there are, and of pulls that may still run. */
  neededBytes(): number
  /** A number that no pod has had. */
  nextGeneration(): number
}

/** Starts a registry with all artifacts, and a node with a driver. Disposing kills the driver; what is mounted then is a fault. */
export async function startGround(artifacts: readonly SoakArtifact[]): Promise<Ground> {
  await using stack = new AsyncDisposableStack()
  const registry = stack.use(await startRegistry())
  for (const { repository, versions } of artifacts) {
    for (const { built } of versions) load(registry, `${repository}:${built.digest}`, built)
    for (const { built } of versions.slice(0, 1)) load(registry, `${repository}:${TAG}`, built)
  }
  const node = stack.use(await startNode(registry))
  let driver = await node.startDriver({ args: DRIVER_FLAGS })
  stack.defer(() => driver[Symbol.asyncDispose]())
  const tags = createTags(artifacts)
  const tally = createTally()
  const pods = new Map<number, SoakPod>()
  const abandoned = new Set<SoakPod>()
  /** Since when nobody has asked for a version any more. */
  const lastUsed = new Map<string, { readonly bytes: number; readonly atMs: number }>()
  let generation = 0
  const noteUse = (pod: SoakPod) => {
    for (const [name, bytes] of usedBy(pod)) lastUsed.set(name, { bytes, atMs: Date.now() })
  }
  const made = stack.move()
  return {
    ...{ artifacts, registry, node, tags, tally, pods, abandoned },
    get driver() {
      return driver
    },
    moveTag(artifact) {
      const moved = artifacts[artifact]
      if (moved === undefined) throw new Error(`No artifact ${artifact}`)
      const next = (tags.current(artifact) + 1) % moved.versions.length
      load(registry, `${moved.repository}:${TAG}`, versionAt(moved, next).built)
      tags.move(artifact, next)
      tally.add('tags moved')
    },
    async restart(signal) {
      driver.process.kill(signal)
      await driver.process.exited
      tally.add(`driver ended by ${signal}`)
      countLog(driver, tally)
      driver = await node.startDriver({ args: DRIVER_FLAGS })
    },
    noteUse,
    neededBytes() {
      for (const pod of [...pods.values(), ...abandoned]) noteUse(pod)
      const since = Date.now() - 2 * LINGER_MS
      return [...lastUsed.values()]
        .filter(({ atMs }) => atMs >= since)
        .reduce((sum, { bytes }) => sum + bytes, 0)
    },
    nextGeneration: () => ++generation,
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  }
}

/** Adds what a driver's log says of its work. To be called once for each. */
export function countLog({ process }: TestDriver, tally: Tally): void {
  for (const { json } of process.lines) {
    if (json?.['msg'] === 'evicted') {
      tally.add('evictions')
      tally.add('evicted things', Number(json['count']))
      tally.add('evicted MiB', Math.round(Number(json['bytes']) / 1024 ** 2))
    }
    if (Number(json?.['level']) >= 40) tally.add(`log: ${json?.['msg']}`)
  }
}

/** Waits a moment between two looks at what nothing announces. */
export function pause(ms: number): Promise<void> {
  return sleep(ms)
}

import { createRandom, type Random } from '../fuzz/random.ts'
import { numberOf, type SoakArtifact } from './artifacts.ts'
import type { FileChoice } from './expected-tree.ts'
import { FAULT_NAMES, type FaultName } from './registry-trouble.ts'

/** One artifact of a volume. */
export interface SourcePlan {
  /** Its place among all artifacts. */
  readonly artifact: number
  /** How it is named: by its tag, looked up each time or not when the node has it, or by a digest. */
  readonly by: 'tag' | 'cached-tag' | 'digest'
  /** Of a digest. */
  readonly version: number
  readonly path?: string
  readonly files?: FileChoice
  readonly isOtherPlatform?: boolean
}

/** A pod that is to be started in a slot. */
export interface VolumePlan {
  readonly slot: number
  readonly sources: readonly SourcePlan[]
  /** A private copy that the pod writes into. */
  readonly isWritable?: boolean
}

/** When the driver is killed while it publishes. */
export type KillPlan =
  | { readonly at: 'request'; readonly count: number }
  | { readonly at: 'answer'; readonly count: number }
  | { readonly at: 'time'; readonly ms: number }

/** What is done at once, all of it decided by seed and number alone. */
export type Step =
  | {
      readonly kind: 'publish'
      readonly volumes: readonly VolumePlan[]
      readonly faults: readonly FaultName[]
      readonly kill?: KillPlan
      /** Tags that move meanwhile. */
      readonly moves: readonly number[]
      /** How long the kubelet waits. */
      readonly deadlineMs?: number
    }
  | { readonly kind: 'unpublish'; readonly slots: readonly number[]; readonly isTwice: boolean }
  | { readonly kind: 'unpublish-unknown'; readonly name: string }
  | {
      readonly kind: 'republish'
      readonly slots: readonly number[]
      readonly isRegistryDown: boolean
    }
  | { readonly kind: 'conflict'; readonly slots: readonly number[] }
  | { readonly kind: 'move-tags'; readonly artifacts: readonly number[] }
  | { readonly kind: 'abandon'; readonly slots: readonly number[] }
  | { readonly kind: 'restart'; readonly signal: 'SIGKILL' | 'SIGTERM' }

export type StepKind = Step['kind']

/** Where pods run: most want something small, few something big. */
export const SMALL_SLOTS = 230
export const BIG_SLOTS = 10

/** In the storm the driver is killed, too; in the calm one process does everything, so that one sees whether it leaks. */
export type Phase = 'storm' | 'calm'

const WEIGHTS: Record<Phase, readonly (readonly [StepKind, weight: number])[]> = {
  storm: [
    ['publish', 24],
    ['unpublish', 8],
    ['unpublish-unknown', 1],
    ['republish', 3],
    ['conflict', 2],
    ['move-tags', 4],
    ['abandon', 3],
    ['restart', 2],
  ],
  calm: [
    ['publish', 24],
    ['unpublish', 8],
    ['unpublish-unknown', 1],
    ['republish', 3],
    ['conflict', 2],
    ['move-tags', 4],
    ['abandon', 3],
  ],
}

/** After the first step, which fills the node: one of every kind comes soon, however short the run and slow the machine. */
const BEGINNING: readonly StepKind[] = [
  ...(['republish', 'conflict', 'unpublish-unknown', 'unpublish', 'move-tags', 'publish'] as const),
  ...(['abandon', 'publish', 'restart', 'publish'] as const),
]

/** A run has at least so many steps of a phase, whatever the time. */
export const LEAST_STEPS: Record<Phase, number> = { storm: 1 + BEGINNING.length, calm: 6 }

/** Decides on one step. The same seed, phase and number give the same step, whatever happened before. */
export function planStep(
  seed: number,
  phase: Phase,
  number: number,
  artifacts: readonly SoakArtifact[],
): Step {
  const random = createRandom(numberOf(seed, phase, number))
  // As after a reboot of the node, when the kubelet starts every pod at once.
  if (phase === 'storm' && number === 0) return firstStep(random, artifacts)
  const kind =
    (phase === 'storm' ? BEGINNING[number - 1] : undefined) ?? weighted(random, WEIGHTS[phase])
  switch (kind) {
    case 'publish':
      return planPublish(random, phase, artifacts)
    case 'unpublish':
      return { kind, slots: someSlots(random, 12), isTwice: random.integer(4) === 0 }
    case 'unpublish-unknown':
      return { kind, name: `unknown-${number}` }
    case 'republish':
      return { kind, slots: someSlots(random, 20), isRegistryDown: random.integer(2) === 0 }
    case 'conflict':
      return { kind, slots: someSlots(random, 12) }
    case 'move-tags':
      return { kind, artifacts: someArtifacts(random, artifacts) }
    case 'abandon':
      return { kind, slots: someSlots(random, 10) }
    case 'restart':
      return { kind, signal: random.pick(['SIGKILL', 'SIGTERM']) }
  }
}

function firstStep(random: Random, artifacts: readonly SoakArtifact[]): Step {
  const slots = Array.from({ length: SMALL_SLOTS }, (_, slot) => slot).filter(
    () => random.integer(2) === 0,
  )
  const volumes = slots.map((slot) => planVolume(random, slot, artifacts))
  return { kind: 'publish', volumes, faults: [], moves: [] }
}

function planPublish(random: Random, phase: Phase, artifacts: readonly SoakArtifact[]): Step {
  const slots = someSlots(random, 10)
  const alike = planVolume(random, 0, artifacts)
  // Pods of one deployment, which want the same.
  const areAlike = random.integer(5) === 0
  const volumes = slots.map((slot) =>
    areAlike && slot < SMALL_SLOTS ? { ...alike, slot } : planVolume(random, slot, artifacts),
  )
  const trouble = random.integer(10)
  const faults =
    trouble < 5 ? Array.from({ length: 1 + random.integer(2) }, () => random.pick(FAULT_NAMES)) : []
  const moves = random.integer(4) === 0 ? someArtifacts(random, artifacts) : []
  const isKilled = random.integer(3) === 0
  const kill = planKill(random)
  const isHurried = random.integer(8) === 0
  return {
    ...{ kind: 'publish', volumes, faults, moves },
    ...(isKilled && phase === 'storm' && { kill }),
    ...(isHurried && { deadlineMs: 300 + random.integer(1_500) }),
  }
}

function planKill(random: Random): KillPlan {
  const count = 1 + random.integer(6)
  const ms = random.integer(400)
  return random.pick([
    { at: 'request', count },
    { at: 'answer', count },
    { at: 'time', ms },
  ] as const)
}

function planVolume(random: Random, slot: number, artifacts: readonly SoakArtifact[]): VolumePlan {
  const isBig = slot >= SMALL_SLOTS
  const count = random.integer(3) === 0 ? 2 + random.integer(3) : 1
  const sources = Array.from({ length: count }, (_, at) =>
    planSource(random, artifacts, { isBig: isBig && at === 0, isFirst: at === 0 }),
  )
  // Last: the artifacts that a seed gives stay the same.
  const isWritable = random.integer(6) === 0
  return { slot, sources, ...(isWritable && { isWritable }) }
}

/** Most artifacts are placed at the root, and taken whole. */
const PATHS = ['', '', '', 'p', 'p/q', 'with:colon/and space'] as const
const WAYS = ['tag', 'tag', 'cached-tag', 'digest'] as const
const ANY_TIME_WAYS = ['tag', 'tag', 'digest'] as const
const CHOICES = ['all', 'all', 'all', 'text', 'others', 'first'] as const

function planSource(
  random: Random,
  artifacts: readonly SoakArtifact[],
  { isBig, isFirst }: { readonly isBig: boolean; readonly isFirst: boolean },
): SourcePlan {
  const candidates = artifacts.flatMap((one, at) => (one.isBig === isBig ? [{ one, at }] : []))
  const { one, at } = random.pick(candidates)
  const path = random.pick(PATHS)
  const files = random.pick(CHOICES)
  const isOtherPlatform = one.kind === 'index' && random.integer(3) === 0
  return {
    artifact: at,
    // Of a tag that is not looked up any version will do: more than one such source would leave too many choices.
    by: random.pick(isFirst ? WAYS : ANY_TIME_WAYS),
    version: random.integer(one.versions.length),
    ...(path !== '' && { path }),
    // A single file is all or nothing, and nothing is refused.
    ...(files !== 'all' && one.kind !== 'file' && { files }),
    ...(isOtherPlatform && { isOtherPlatform }),
  }
}

/** One to `most` slots without repeats; one in six is for something big, which is more than its share. */
function someSlots(random: Random, most: number): readonly number[] {
  const count = 1 + random.integer(most)
  const slots = Array.from({ length: count }, () =>
    random.integer(6) === 0 ? SMALL_SLOTS + random.integer(BIG_SLOTS) : random.integer(SMALL_SLOTS),
  )
  return [...new Set(slots)]
}

function someArtifacts(random: Random, { length }: readonly SoakArtifact[]): readonly number[] {
  const count = 1 + random.integer(8)
  return [...new Set(Array.from({ length: count }, () => random.integer(length)))]
}

function weighted<T>(random: Random, choices: readonly (readonly [T, weight: number])[]): T {
  const total = choices.reduce((sum, [, weight]) => sum + weight, 0)
  let at = random.integer(total)
  for (const [choice, weight] of choices) {
    if (at < weight) return choice
    at -= weight
  }
  throw new Error('No weights')
}

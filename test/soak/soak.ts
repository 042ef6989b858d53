import { ARTIFACT_KINDS, makeArtifacts, type SoakArtifact } from './artifacts.ts'
import { unpublish } from './calls.ts'
import { countLog, type Ground, pause, startGround, Violation } from './ground.ts'
import { checkNode, checkSettled } from './invariants.ts'
import { descriptors, type ProcessFacts, readProcessFacts } from './process-facts.ts'
import { runStep } from './run-step.ts'
import { LEAST_STEPS, type Phase, planStep, type Step } from './steps.ts'
import type { Tally } from './tally.ts'

/** How long the phases of a run are: until the time is up, or so many steps. */
export interface SoakOptions {
  readonly seed: number
  readonly seconds: number
  /** To do the same again. */
  readonly steps?: Readonly<Record<Phase, number>>
  readonly say: (line: string) => void
}

/** What a run came to. */
export interface SoakResult {
  readonly tally: Tally
  readonly steps: Readonly<Record<Phase, number>>
  readonly violation?: string
  /** The last steps, as JSON. */
  readonly lastSteps: readonly string[]
  /** Of the process that did the calm phase: whenever the store had settled. */
  readonly facts: readonly ProcessFacts[]
}

/** Of the time: killing is worth more than waiting for leaks. */
const STORM_SHARE = 0.6
const SETTLE_EVERY = 6
const LAST_STEPS = 20
/** Threads that nobody needs end after some seconds. */
const IDLE_MS = 30_000

/**
 * Publishes and unpublishes at random on a real driver, with a registry that fails, tags that move, and a store that is too small, and checks after each
 * step that every volume shows just what its artifacts have. First the driver is killed again and again; then one process does everything, and must hold no
 * more at the end than after it has warmed up.
 */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { seed, say } = options
  const artifacts = makeArtifacts(seed)
  say(describeArtifacts(artifacts))
  const steps: Record<Phase, number> = { storm: 0, calm: 0 }
  const lastSteps: string[] = []
  const facts: ProcessFacts[] = []
  await using ground = await startGround(artifacts)
  const { tally } = ground

  const run = async (phase: Phase, seconds: number) => {
    const wanted = options.steps?.[phase]
    const deadline = performance.now() + seconds * 1000
    const isOver = () =>
      wanted === undefined
        ? performance.now() >= deadline && steps[phase] >= LEAST_STEPS[phase]
        : steps[phase] >= wanted
    while (!isOver()) {
      const step = planStep(seed, phase, steps[phase], artifacts)
      steps[phase] += 1
      noteStep(lastSteps, `${phase} ${steps[phase]}`, step)
      await runStep(ground, step)
      await checkNode(ground)
      if (steps[phase] % SETTLE_EVERY === 0) {
        await checkSettled(ground)
        if (phase === 'calm') facts.push(readProcessFacts(ground.driver.process.pid))
      }
      tally.add('requests to the registry', ground.registry.requests.length)
      ground.registry.clearRequests()
    }
  }

  let violation: string | undefined
  try {
    await run('storm', options.seconds * STORM_SHARE)
    await ground.restart('SIGKILL')
    const fresh = readProcessFacts(ground.driver.process.pid)
    await run('calm', options.seconds * (1 - STORM_SHARE))
    await endAll(ground)
    await checkLeaks(ground, facts, fresh)
  } catch (error) {
    violation =
      error instanceof Violation
        ? error.message
        : String(error instanceof Error ? error.stack : error)
    await endWhatIsLeft(ground)
  }
  countLog(ground.driver, tally)
  return { tally, steps, lastSteps, facts, ...(violation !== undefined && { violation }) }
}

function noteStep(lastSteps: string[], name: string, step: Step): void {
  lastSteps.push(`${name}: ${JSON.stringify(step)}`)
  if (lastSteps.length > LAST_STEPS) lastSteps.shift()
}

/** Nothing is left of any pod when all have ended. */
async function endAll(ground: Ground): Promise<void> {
  await Promise.all([...ground.pods.values()].map((pod) => unpublish(ground, pod)))
  await checkNode(ground)
  await checkSettled(ground)
}

/** After a fault: the node cannot be removed while something is mounted. */
async function endWhatIsLeft({ pods, abandoned, driver }: Ground): Promise<void> {
  const left = [...pods.values(), ...abandoned]
  await Promise.allSettled(
    left.map(({ request }) => driver.csi.nodeUnpublishVolume(request, { deadlineMs: 5_000 })),
  )
}

/**
 * A process that has warmed up holds no more at the end than it did when it had done half; and no more connections than when it was new, once the registry
 * has closed those that it keeps.
 */
async function checkLeaks(
  { driver, registry }: Ground,
  facts: ProcessFacts[],
  fresh: ProcessFacts,
): Promise<void> {
  const { pid } = driver.process
  await registry[Symbol.asyncDispose]()
  const warm = [fresh, ...facts.slice(0, Math.ceil(facts.length / 2))]
  const most = (read: (one: ProcessFacts) => number) => Math.max(...warm.map(read))
  const deadline = performance.now() + IDLE_MS
  for (;;) {
    const now = readProcessFacts(pid)
    const isMore =
      now.files > most(({ files }) => files) ||
      now.sockets > fresh.sockets ||
      now.threads > most(({ threads }) => threads)
    if (!isMore) {
      facts.push(now)
      return
    }
    if (performance.now() > deadline) {
      const open = descriptors(pid).join('\n')
      throw new Violation(
        `The driver holds ${JSON.stringify(now)}, and did hold ${JSON.stringify(warm)}:\n${open}`,
      )
    }
    await pause(200)
  }
}

function describeArtifacts(artifacts: readonly SoakArtifact[]): string {
  const versions = artifacts.flatMap((one) => one.versions)
  const bytes = versions.reduce((sum, version) => sum + version.bytes, 0)
  const kinds = ARTIFACT_KINDS.map(
    (kind) => `${artifacts.filter((one) => one.kind === kind).length} ${kind}`,
  )
  return `${artifacts.length} artifacts (${kinds.join(', ')}) in ${versions.length} versions, ${Math.round(bytes / 1024 ** 2)} MiB`
}

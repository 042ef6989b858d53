import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { parentPort, workerData } from 'node:worker_threads'
import { isCodedError } from '../../common/errors.ts'
import type { FuzzReply, FuzzTask } from './fuzz-message.ts'
import type { FuzzTarget } from './fuzz-target.ts'
import { mutate } from './mutation.ts'
import { createRandom, type Random } from './random.ts'

/** The largest input is 64 KiB; 1000 times as much is more than any reader of ours may hold for it. */
const MAX_BUFFER_BYTES = 64 * 1024 ** 2
const ITERATIONS_BETWEEN_LOOKS = 64
const SWEEP_MS = 20

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

const task: FuzzTask = workerData
const { TARGETS }: { readonly TARGETS: readonly FuzzTarget[] } = await import(task.targets)
const target = TARGETS.find(({ name }) => name === task.name)
if (target === undefined) throw new Error(`No target is called ${task.name}`)
parentPort?.postMessage(await fuzz(target))

async function fuzz(chosen: FuzzTarget): Promise<FuzzReply> {
  const random = createRandom(task.seed)
  const refused: Record<string, number> = {}
  const until = performance.now() + task.seconds * 1000
  let iterations = 0
  let slowestMs = 0
  for (; performance.now() < until; iterations++) {
    const input = nextInput(chosen, random)
    task.input.set(input)
    Atomics.store(task.inputLength, 0, input.length)
    Atomics.add(task.heartbeat, 0, 1)
    const started = performance.now()
    try {
      await chosen.run(input, random, task.directory)
    } catch (error) {
      if (!isCodedError(error) || error.code === 'INTERNAL') {
        return { kind: 'fault', iterations, error: textOf(error) }
      }
      refused[error.code] = (refused[error.code] ?? 0) + 1
    }
    slowestMs = Math.max(slowestMs, performance.now() - started)
    if (iterations % ITERATIONS_BETWEEN_LOOKS === 0) {
      const held = await heldBytes()
      if (held > MAX_BUFFER_BYTES) {
        return { kind: 'fault', iterations, error: `It holds ${held} bytes in buffers` }
      }
    }
  }
  return { kind: 'done', iterations, refused, slowestMs }
}

/** Perhaps nobody holds them any more; what is garbage is swept a little later. */
async function heldBytes(): Promise<number> {
  for (let tries = 0; tries < 5; tries++) {
    if (process.memoryUsage().arrayBuffers <= MAX_BUFFER_BYTES) break
    collectGarbage()
    await delay(SWEEP_MS)
  }
  return process.memoryUsage().arrayBuffers
}

function nextInput({ seeds, generate, repair }: FuzzTarget, random: Random): Buffer {
  if (generate !== undefined && random.integer(2) === 0) {
    const made = Buffer.from(generate(random))
    if (random.integer(2) === 0) return made
    return mutate(made, random.pick(seeds), random)
  }
  const seed = random.pick(seeds)
  // Some as they are: a reader that refuses everything would pass.
  if (random.integer(50) === 0) return Buffer.from(seed)
  const input = mutate(seed, random.pick(seeds), random)
  if (random.integer(2) === 0) repair?.(input)
  return input
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `\ncaused by ${textOf(error.cause)}`
  return `${error.stack ?? error.message}${cause}`
}

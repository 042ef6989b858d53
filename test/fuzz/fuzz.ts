import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { messageOf } from '../../common/errors.ts'
import type { FuzzReply, FuzzTask } from './fuzz-message.ts'

/** How one target did. */
export type FuzzResult =
  | Extract<FuzzReply, { kind: 'done' }>
  | (Extract<FuzzReply, { kind: 'fault' }> & {
      /** What it was reading. */
      readonly input: Uint8Array
    })

const MAX_INPUT_BYTES = 1024 ** 2
const MAX_HEAP_MIB = 256
/** A thousand times what any input takes. */
const DEFAULT_HANG_MS = 5_000
const LOOK_MS = 100

/**
 * Feeds mutated inputs to a target, in a thread of its own, until the time is over or something is wrong: an error that is none of
 * ours, a hang, or memory that grows.
 *
 * @param options.targets URL of the module that exports `TARGETS`
 */
export async function fuzzTarget(options: {
  readonly targets: string
  readonly name: string
  readonly seed: number
  readonly seconds: number
  readonly hangMs?: number
}): Promise<FuzzResult> {
  const { hangMs = DEFAULT_HANG_MS } = options
  const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  const directory = await mkdtemp(join(parent, 'oras-csi-fuzz-'))
  const task: FuzzTask = {
    directory,
    targets: options.targets,
    name: options.name,
    seed: options.seed,
    seconds: options.seconds,
    heartbeat: new Int32Array(new SharedArrayBuffer(4)),
    input: new Uint8Array(new SharedArrayBuffer(MAX_INPUT_BYTES)),
    inputLength: new Int32Array(new SharedArrayBuffer(4)),
  }
  const worker = new Worker(new URL('./fuzz-worker.ts', import.meta.url), {
    workerData: task,
    execArgv: [],
    trackUnmanagedFds: false,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB },
  })
  const { promise, resolve } = Promise.withResolvers<FuzzReply>()
  const iterations = () => Atomics.load(task.heartbeat, 0)
  const fault = (error: string) => resolve({ kind: 'fault', iterations: iterations(), error })
  worker.once('message', resolve)
  worker.once('error', (error) => fault(`The thread died: ${messageOf(error)}`))
  worker.once('exit', (code) => fault(`The thread ended with exit code ${code}`))
  let seen = -1
  let since = performance.now()
  const watch = setInterval(() => {
    const now = iterations()
    if (now !== seen) {
      seen = now
      since = performance.now()
      // The first iteration waits for the modules.
    } else if (now > 0 && performance.now() - since > hangMs) {
      fault(`It has read one input for more than ${hangMs} ms`)
    }
  }, LOOK_MS)
  try {
    const reply = await promise
    if (reply.kind === 'done') return reply
    return { ...reply, input: Uint8Array.from(task.input.subarray(0, task.inputLength[0])) }
  } finally {
    clearInterval(watch)
    await worker.terminate()
    await rm(directory, { recursive: true, force: true })
  }
}

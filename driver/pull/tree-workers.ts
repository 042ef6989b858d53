import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { CodedError } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import { closeLeft } from '../linux/directory.ts'
import type { TreeJob, TreeLimits, TreeSummary } from './tree-job.ts'
import { MAX_DEPTH, MAX_PATH_BYTES } from './tree-path.ts'
import type { TreeReply } from './tree-worker.ts'

/**
 * What a tree may cost unless the admin says otherwise. gzip cannot exceed about 1032:1, so a much laxer ratio would never trip in time.
 */
export const DEFAULT_TREE_LIMITS: TreeLimits = {
  decompressedBytes: 100 * 1024 ** 3,
  ratio: 200,
  ratioFreeBytes: 256 * 1024 ** 2,
  entries: 1_000_000,
  pathBytes: MAX_PATH_BYTES,
  depth: MAX_DEPTH,
}

/** Threads that build trees, kept warm: starting one takes longer than a small tree. */
export interface TreeWorkers extends AsyncDisposable {
  /**
   * Builds a tree in a thread of its own, when one is free.
   *
   * What a failed or cancelled job left in its root is the caller's to delete; by then, nobody writes to it any more.
   *
   * @throws what `buildTree` throws; the signal's reason when it fires; UNAVAILABLE when the thread died
   */
  build(job: TreeJob, signal: AbortSignal): Promise<TreeSummary>
}

/** An 8 GiB archive needs no more heap than a small one; an image layer's record of 1 M names needs about half of this. */
const MAX_HEAP_MIB = 256

/** Descriptors are the lowest free numbers, so that one above this is as good as impossible. */
const MAX_DESCRIPTORS = 65_536

interface Task {
  readonly job: TreeJob
  readonly resolve: (summary: TreeSummary) => void
  readonly reject: (reason: unknown) => void
}

/** One place of the pool. */
interface Slot {
  worker: Worker | undefined
  /** Whether the thread has ever answered: one that dies before is not replaced until it is needed. */
  ready: boolean
  task: Task | undefined
  /** Says what to reject the task with when the thread ends. */
  reason: unknown
}

/** Starts `size` threads (default: one for each core). */
export function createTreeWorkers(
  options: { readonly size?: number; readonly log?: Logger; readonly maxHeapMib?: number } = {},
): TreeWorkers {
  const { size = availableParallelism(), log, maxHeapMib = MAX_HEAP_MIB } = options
  const slots: Slot[] = []
  const queue: Task[] = []
  let disposed = false

  const start = (slot: Slot) => {
    const descriptors = new Uint8Array(new SharedArrayBuffer(MAX_DESCRIPTORS))
    const worker = new Worker(new URL('./tree-worker.ts', import.meta.url), {
      name: 'oras-csi tree',
      execArgv: [],
      workerData: descriptors.buffer,
      // Node would warn at every descriptor that it did not open itself.
      trackUnmanagedFds: false,
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMib },
    })
    slot.worker = worker
    slot.ready = false
    slot.reason = undefined
    worker.on('message', (reply: TreeReply) => {
      if (reply.kind === 'ready') slot.ready = true
      else finish(slot, reply)
    })
    worker.on('error', (error) => {
      slot.reason ??= workerDied(error)
    })
    worker.on('exit', (exitCode) => {
      const { task, ready, reason } = slot
      slot.worker = undefined
      slot.task = undefined
      closeLeft(descriptors)
      const why = reason ?? workerDied(`exit code ${exitCode}`)
      if (!disposed && !(reason instanceof Cancelled)) {
        log?.error({ error: why }, 'a tree worker died')
      }
      task?.reject(why instanceof Cancelled ? why.reason : why)
      if (disposed) return
      if (ready) start(slot)
      dispatch()
    })
  }

  const finish = (slot: Slot, reply: Exclude<TreeReply, { kind: 'ready' }>) => {
    const { task } = slot
    slot.task = undefined
    switch (reply.kind) {
      case 'built':
        task?.resolve(reply.summary)
        break
      case 'failed': {
        const cause = reply.cause === undefined ? {} : { cause: causeOf(reply.cause) }
        task?.reject(new CodedError(reply.code, reply.message, cause))
        break
      }
    }
    dispatch()
  }

  const dispatch = () => {
    for (const slot of slots) {
      if (slot.task !== undefined) continue
      const task = queue.shift()
      if (task === undefined) return
      if (slot.worker === undefined) start(slot)
      slot.task = task
      slot.worker?.postMessage(task.job)
    }
  }

  for (let i = 0; i < size; i++) {
    const slot: Slot = { worker: undefined, ready: false, task: undefined, reason: undefined }
    slots.push(slot)
    start(slot)
  }

  return {
    async build(job, signal) {
      signal.throwIfAborted()
      if (disposed) throw stopped()
      const { promise, resolve, reject } = Promise.withResolvers<TreeSummary>()
      const task: Task = { job, resolve, reject }
      const cancel = () => {
        const queued = queue.indexOf(task)
        if (queued >= 0) {
          queue.splice(queued, 1)
          reject(signal.reason)
          return
        }
        const slot = slots.find((candidate) => candidate.task === task)
        if (slot?.worker === undefined) return
        // Rejected when the thread has ended: only then does it no longer write to the root.
        slot.reason = new Cancelled(signal.reason)
        void slot.worker.terminate()
      }
      signal.addEventListener('abort', cancel, { once: true })
      try {
        queue.push(task)
        dispatch()
        return await promise
      } finally {
        signal.removeEventListener('abort', cancel)
      }
    },
    async [Symbol.asyncDispose]() {
      disposed = true
      for (const task of queue.splice(0)) task.reject(stopped())
      await Promise.all(
        slots.map(async (slot) => {
          slot.reason ??= stopped()
          await slot.worker?.terminate()
        }),
      )
    },
  }
}

/** Marks a thread that was terminated on purpose. */
class Cancelled {
  readonly reason: unknown

  constructor(reason: unknown) {
    this.reason = reason
  }
}

function workerDied(cause: unknown): CodedError {
  const detail = cause instanceof Error ? cause.message : String(cause)
  return new CodedError(
    'UNAVAILABLE',
    `Cannot unpack: the thread that did it ended unexpectedly (${detail}); it is tried again`,
    { cause },
  )
}

function causeOf(stack: string): Error {
  const error = new Error(stack.split('\n')[0])
  error.stack = stack
  return error
}

function stopped(): CodedError {
  return new CodedError('UNAVAILABLE', 'Cannot unpack: the driver is stopping')
}

import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { CodedError } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import { closeLeft } from '../linux/directory.ts'
import type { TreeJob, TreeLimits, TreeSummary } from './tree-job.ts'
import type { TreeReply, TreeWorkerData } from './tree-message.ts'
import { MAX_DEPTH, MAX_PATH_BYTES } from './tree-path.ts'

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

/** An 8 GiB archive needs no more heap than a small one; the record of an image layer's 1 M names needs about half of this. */
const MAX_HEAP_MIB = 256

/** Descriptors are the lowest free numbers, so that one above this is as good as impossible. */
const MAX_DESCRIPTORS = 65_536

/** How long a cancelled thread may take to stop by itself, before it is terminated in the middle of its work. */
const DEFAULT_GRACE_MS = 2_000

interface Task {
  readonly job: TreeJob
  readonly resolve: (summary: TreeSummary) => void
  readonly reject: (reason: unknown) => void
}

/** One place of the pool. */
interface Slot {
  worker: Worker | undefined
  data: TreeWorkerData
  /** Whether the thread has ever answered: one that dies before is not replaced until it is needed. */
  ready: boolean
  task: Task | undefined
  cancelled: { readonly reason: unknown; readonly grace: NodeJS.Timeout } | undefined
}

/**
 * Makes a pool of at most `size` threads (default: one for each core); the first is started now, the others when they are needed.
 *
 * A cancelled job ends by itself, so that its descriptors are closed and its thread stays warm; only one that does not is terminated.
 */
export function createTreeWorkers(
  options: {
    readonly size?: number
    readonly log?: Logger
    readonly maxHeapMib?: number
    readonly graceMs?: number
  } = {},
): TreeWorkers {
  const { size = availableParallelism(), maxHeapMib = MAX_HEAP_MIB } = options
  const { log, graceMs = DEFAULT_GRACE_MS } = options
  const slots: Slot[] = []
  const queue: Task[] = []
  let disposed = false

  const start = (slot: Slot) => {
    const data = workerData()
    const worker = new Worker(new URL('./tree-worker.ts', import.meta.url), {
      name: 'oras-csi tree',
      execArgv: [],
      workerData: data,
      // Node would warn at every descriptor that it did not open itself.
      trackUnmanagedFds: false,
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMib },
    })
    slot.worker = worker
    slot.data = data
    slot.ready = false
    let died: unknown
    worker.on('message', (reply: TreeReply) => {
      if (reply.kind === 'ready') slot.ready = true
      else finish(slot, reply)
    })
    worker.on('error', (error) => {
      died = error
    })
    worker.on('exit', (exitCode) => {
      closeLeft(data.descriptors)
      const { task, ready, cancelled } = slot
      slot.worker = undefined
      release(slot)
      const error = workerDied(died ?? `exit code ${exitCode}`)
      if (!disposed && cancelled === undefined) log?.error({ error }, 'a tree worker died')
      if (cancelled !== undefined) task?.reject(cancelled.reason)
      else task?.reject(disposed ? stopped() : error)
      if (disposed) return
      if (ready) start(slot)
      dispatch()
    })
  }

  const release = (slot: Slot) => {
    clearTimeout(slot.cancelled?.grace)
    slot.cancelled = undefined
    slot.task = undefined
  }

  const finish = (slot: Slot, reply: Exclude<TreeReply, { kind: 'ready' }>) => {
    const { task, cancelled } = slot
    release(slot)
    if (cancelled !== undefined) task?.reject(cancelled.reason)
    else if (reply.kind === 'built') task?.resolve(reply.summary)
    else task?.reject(errorOf(reply))
    dispatch()
  }

  const dispatch = () => {
    for (const slot of slots) {
      if (slot.task !== undefined) continue
      const task = queue.shift()
      if (task === undefined) return
      if (slot.worker === undefined) start(slot)
      Atomics.store(slot.data.cancelled, 0, 0)
      slot.task = task
      slot.worker?.postMessage(task.job)
    }
  }

  const cancel = (task: Task, reason: unknown) => {
    const queued = queue.indexOf(task)
    if (queued >= 0) {
      queue.splice(queued, 1)
      task.reject(reason)
      return
    }
    const slot = slots.find((candidate) => candidate.task === task)
    if (slot === undefined || slot.cancelled !== undefined) return
    // Rejected when the thread has answered or ended: only then does it no longer write to the root.
    Atomics.store(slot.data.cancelled, 0, 1)
    const grace = setTimeout(() => void slot.worker?.terminate(), graceMs)
    slot.cancelled = { reason, grace }
  }

  for (let i = 0; i < size; i++) {
    const slot: Slot = {
      worker: undefined,
      data: workerData(),
      ready: false,
      task: undefined,
      cancelled: undefined,
    }
    slots.push(slot)
  }
  // One is warm from the start; the others cost their memory (some 20 MB each) only on nodes that unpack several trees at once.
  const [first] = slots
  if (first !== undefined) start(first)

  return {
    async build(job, signal) {
      signal.throwIfAborted()
      if (disposed) throw stopped()
      const { promise, resolve, reject } = Promise.withResolvers<TreeSummary>()
      const task: Task = { job, resolve, reject }
      const onAbort = () => cancel(task, signal.reason)
      signal.addEventListener('abort', onAbort, { once: true })
      try {
        queue.push(task)
        dispatch()
        return await promise
      } finally {
        signal.removeEventListener('abort', onAbort)
      }
    },
    async [Symbol.asyncDispose]() {
      disposed = true
      for (const task of queue.splice(0)) task.reject(stopped())
      await Promise.all(slots.map(({ worker }) => worker?.terminate()))
    },
  }
}

function workerData(): TreeWorkerData {
  return {
    cancelled: new Uint8Array(new SharedArrayBuffer(1)),
    descriptors: new Uint8Array(new SharedArrayBuffer(MAX_DESCRIPTORS)),
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

function errorOf(reply: Extract<TreeReply, { kind: 'failed' }>): CodedError {
  if (reply.cause === undefined) return new CodedError(reply.code, reply.message)
  const cause = new Error(reply.cause.split('\n')[0])
  cause.stack = reply.cause
  return new CodedError(reply.code, reply.message, { cause })
}

function stopped(): CodedError {
  return new CodedError('UNAVAILABLE', 'Cannot unpack: the driver is stopping')
}

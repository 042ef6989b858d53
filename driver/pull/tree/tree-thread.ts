import { Worker } from 'node:worker_threads'
import { CodedError, messageOf } from '../../../common/errors.ts'
import { closeLeft } from '../../linux/directory.ts'
import { tooFull } from '../../linux/free-space.ts'
import type { ViewJob } from '../view/view-job.ts'
import type { PooledWorker } from '../worker-pool.ts'
import type { AwaitBlob, TreeJob, TreeSummary } from './tree-job.ts'
import type { JobRequest, TreeReply, TreeRequest, TreeWorkerData } from './tree-message.ts'

/** How a job is run. */
export interface BuildOptions {
  readonly signal: AbortSignal
  /** Absent: every blob is in the store. A rejection cancels the job, and is what the job then throws. */
  readonly awaitBlob?: AwaitBlob
}

/** A thread that builds trees, one at a time. */
export interface TreeThread extends PooledWorker {
  /**
   * Builds a tree. A cancelled job ends by itself, so that its descriptors are closed and the thread stays warm; one that does not is
   * terminated. Whatever the outcome, nobody writes to the root any more.
   *
   * @throws what `buildTree` throws; the signal's reason when it fires; UNAVAILABLE when the thread died
   */
  build(job: TreeJob, options: BuildOptions): Promise<TreeSummary>

  /** The same for a view. @throws what `buildView` throws; else as {@link build} */
  buildView(job: ViewJob, signal: AbortSignal): Promise<TreeSummary>
}

/** Descriptors are the lowest free numbers, so that one above this is as good as impossible. */
const MAX_DESCRIPTORS = 65_536

/** What a thread lets pile up before it looks for garbage; V8's own 16 to 32 MiB, times the threads, would be most of the driver's memory. */
const YOUNG_HEAP_MIB = 4

/** @param options.onDeath told when it ends by itself */
export function startTreeThread(options: {
  readonly maxHeapMib: number
  /** How long a cancelled job may take to stop by itself. */
  readonly graceMs: number
  readonly onDeath: (error: CodedError) => void
}): TreeThread {
  const shared: TreeWorkerData = {
    cancelled: new Uint8Array(new SharedArrayBuffer(1)),
    descriptors: new Uint8Array(new SharedArrayBuffer(MAX_DESCRIPTORS)),
  }
  const worker = new Worker(new URL('./tree-worker.ts', import.meta.url), {
    name: 'oras-csi tree',
    execArgv: [],
    workerData: shared,
    // Node would warn at every descriptor that it did not open itself.
    trackUnmanagedFds: false,
    resourceLimits: {
      maxOldGenerationSizeMb: options.maxHeapMib,
      maxYoungGenerationSizeMb: YOUNG_HEAP_MIB,
    },
  })
  let isAlive = true
  /** Why it is being ended. */
  let ending: { readonly reason: unknown } | undefined
  let fault: unknown
  let onReply = (_reply: TreeReply) => {}
  let onEnd = () => {}
  const tell = (request: TreeRequest) => worker.postMessage(request)

  worker.on('message', (reply: TreeReply) => onReply(reply))
  worker.on('error', (error) => {
    fault = error
  })
  const ended = new Promise<void>((resolve) => {
    worker.on('exit', (exitCode) => {
      isAlive = false
      closeLeft(shared.descriptors)
      if (ending === undefined) {
        ending = { reason: died(fault ?? `exit code ${exitCode}`) }
        options.onDeath(died(fault ?? `exit code ${exitCode}`))
      }
      onEnd()
      resolve()
    })
  })

  const end = async (reason: unknown) => {
    ending ??= { reason }
    await worker.terminate()
    await ended
  }

  /** Hands the job over, and answers what it asks for until it ends. */
  const run = (
    request: JobRequest,
    awaitBlob: AwaitBlob | undefined,
    cancel: (reason: unknown) => void,
  ) =>
    new Promise<TreeSummary>((resolve, reject) => {
      const answer = (blob: Awaited<ReturnType<AwaitBlob>>) => {
        // The job may have ended meanwhile.
        if (onReply === handle) tell({ kind: 'blob', blob })
      }
      const handle = (reply: TreeReply) => {
        switch (reply.kind) {
          case 'await':
            awaitBlob?.(reply.step).then(answer, cancel)
            break
          case 'built':
            resolve(reply.summary)
            break
          case 'failed':
            reject(errorOf(reply))
            break
        }
      }
      onReply = handle
      onEnd = () => reject(ending?.reason)
      if (!isAlive) onEnd()
      Atomics.store(shared.cancelled, 0, 0)
      tell(request)
    }).finally(() => {
      onReply = () => {}
      onEnd = () => {}
    })

  /** A cancelled job is given the time to end by itself. */
  const runUntil = async (request: JobRequest, { signal, awaitBlob }: BuildOptions) => {
    signal.throwIfAborted()
    let cancelled: { readonly reason: unknown; readonly grace: NodeJS.Timeout } | undefined
    const cancel = (reason: unknown) => {
      if (cancelled !== undefined) return
      Atomics.store(shared.cancelled, 0, 1)
      tell({ kind: 'stop' })
      cancelled = { reason, grace: setTimeout(() => void end(reason), options.graceMs) }
    }
    const onAbort = () => cancel(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      const summary = await run(request, awaitBlob, cancel)
      if (cancelled === undefined) return summary
    } catch (error) {
      if (cancelled === undefined) throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
      clearTimeout(cancelled?.grace)
    }
    throw cancelled?.reason
  }

  return {
    get isAlive() {
      return isAlive && ending === undefined
    },
    build: (job, call) =>
      runUntil({ kind: 'build', job, awaitsBlobs: call.awaitBlob !== undefined }, call),
    buildView: (job, signal) => runUntil({ kind: 'view', job }, { signal }),
    end,
  }
}

function died(cause: unknown): CodedError {
  return new CodedError(
    'UNAVAILABLE',
    `Cannot unpack: the thread that did it ended unexpectedly (${messageOf(cause)}); it is tried again`,
    { cause },
  )
}

function errorOf(reply: Extract<TreeReply, { kind: 'failed' }>): CodedError {
  if (reply.cause === undefined) return new CodedError(reply.code, reply.message)
  const cause = reply.isOutOfSpace ? tooFull() : new Error(reply.cause.split('\n')[0])
  cause.stack = reply.cause
  return new CodedError(reply.code, reply.message, { cause })
}

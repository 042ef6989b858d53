import { Worker } from 'node:worker_threads'

/** Removes trees on threads of its own. The disposal ends them once they are between two slices. */
export interface TreeRemover extends AsyncDisposable {
  /**
   * Removes an entry as `removeTreeInSlices` does, away from the main thread: unlinking one large file can take a second on a busy disk, and
   * the kubelet unregisters a plugin that does not answer for one.
   *
   * @param directory path of a directory of our own
   * @param pauseMs in shared memory; see `removeTreeInSlices`
   * @throws the signal's reason when it fires, once the thread has stopped; what is left can be removed by another call
   */
  remove(directory: string, name: string, signal?: AbortSignal, pauseMs?: Int32Array): Promise<void>
}

/** What a removing thread is told. */
export type RemovalRequest =
  | {
      readonly kind: 'remove'
      readonly directory: string
      readonly name: string
      readonly pauseMs?: Int32Array | undefined
    }
  | { readonly kind: 'stop' }

/** How its work ended. */
export type RemovalReply =
  | { readonly kind: 'removed' }
  | { readonly kind: 'failed'; readonly message: string; readonly code?: string }

/** Needs little: names, not contents. */
const MAX_HEAP_MIB = 64
/** What a thread lets pile up before it looks for garbage; V8's own 16 to 32 MiB, times the threads, would be most of the driver's memory. */
const YOUNG_HEAP_MIB = 4
/** Starting a thread takes longer than removing a small tree, so one is kept while there is more. */
const DEFAULT_IDLE_MS = 5_000

export function createTreeRemover({
  idleMs = DEFAULT_IDLE_MS,
}: {
  readonly idleMs?: number
} = {}): TreeRemover {
  let idle: { readonly worker: Worker; readonly timer: NodeJS.Timeout } | undefined
  const busy = new Set<Worker>()

  const take = (): Worker => {
    if (idle === undefined) return startThread()
    const { worker, timer } = idle
    idle = undefined
    clearTimeout(timer)
    worker.ref()
    return worker
  }
  const giveBack = (worker: Worker) => {
    // An idle one never keeps the process.
    worker.unref()
    if (idle !== undefined) return void worker.terminate()
    const timer = setTimeout(() => {
      idle = undefined
      void worker.terminate()
    }, idleMs).unref()
    idle = { worker, timer }
  }

  return {
    async remove(directory, name, signal, pauseMs) {
      signal?.throwIfAborted()
      const worker = take()
      busy.add(worker)
      const stop = () => tell(worker, { kind: 'stop' })
      signal?.addEventListener('abort', stop, { once: true })
      try {
        const answered = replyOf(worker)
        tell(worker, { kind: 'remove', directory, name, pauseMs })
        const reply = await answered
        giveBack(worker)
        if (reply.kind === 'removed') return
        signal?.throwIfAborted()
        throw Object.assign(new Error(reply.message), { code: reply.code })
      } finally {
        busy.delete(worker)
        signal?.removeEventListener('abort', stop)
      }
    },
    async [Symbol.asyncDispose]() {
      clearTimeout(idle?.timer)
      await idle?.worker.terminate()
      idle = undefined
      await Promise.all([...busy].map((worker) => worker.terminate()))
    },
  }
}

function tell(worker: Worker, request: RemovalRequest): void {
  worker.postMessage(request)
}

function startThread(): Worker {
  const worker = new Worker(new URL('./remove-tree-worker.ts', import.meta.url), {
    name: 'oras-csi trash',
    execArgv: [],
    // Node would warn at every descriptor that it did not open itself.
    trackUnmanagedFds: false,
    resourceLimits: {
      maxOldGenerationSizeMb: MAX_HEAP_MIB,
      maxYoungGenerationSizeMb: YOUNG_HEAP_MIB,
    },
  })
  // Without work it has nobody to tell.
  worker.on('error', () => undefined)
  return worker
}

function replyOf(worker: Worker): Promise<RemovalReply> {
  return new Promise((resolve, reject) => {
    const leave = () => {
      worker.off('message', onReply).off('error', onError).off('exit', onExit)
    }
    const onReply = (reply: RemovalReply) => {
      leave()
      resolve(reply)
    }
    const onError = (error: unknown) => {
      leave()
      reject(error)
    }
    const onExit = (code: number) => onError(new Error(`the thread ended with exit code ${code}`))
    worker.on('message', onReply).on('error', onError).on('exit', onExit)
  })
}

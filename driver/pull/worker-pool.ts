/** A thread or process that does one piece of work at a time. */
export interface PooledWorker {
  /** False once it has ended or been given up: it is of no use any more. */
  readonly isAlive: boolean
  /** Ends it; work that runs throws `reason`. */
  end(reason: unknown): Promise<void>
}

/** Lends workers to one piece of work each. The disposal ends them all. */
export interface WorkerPool<W extends PooledWorker> extends AsyncDisposable {
  /** Starts a worker if none is idle and there may be one more: said when there will soon be work. */
  warm(): void

  /**
   * Does work by a worker: an idle one, a new one, or the next that gets free.
   *
   * @throws the signal's reason when it fires before there is one; what starting one throws; what the work throws
   */
  use<T>(signal: AbortSignal, work: (worker: W) => Promise<T>): Promise<T>
}

export function createWorkerPool<W extends PooledWorker>(options: {
  /** How many at most. */
  readonly size: number
  /** How long an idle one is kept. */
  readonly idleMs: number
  readonly start: () => W
  /** What is thrown when the pool has been disposed of. */
  readonly stopped: () => Error
}): WorkerPool<W> {
  const { size, idleMs, stopped } = options
  const workers = new Set<W>()
  /** The most recently used last. */
  const idle = new Map<W, NodeJS.Timeout>()
  const waiting = new Set<PromiseWithResolvers<W>>()
  let disposed = false

  const start = (): W => {
    const worker = options.start()
    workers.add(worker)
    return worker
  }

  const letIdle = (worker: W) => {
    const timer = setTimeout(() => {
      takeIdle(worker)
      workers.delete(worker)
      void worker.end(stopped())
    }, idleMs).unref()
    idle.set(worker, timer)
  }

  const takeIdle = (worker: W) => {
    clearTimeout(idle.get(worker))
    idle.delete(worker)
  }

  /** Those that ended by themselves. */
  const forgetDead = () => {
    for (const worker of workers) {
      if (worker.isAlive) continue
      takeIdle(worker)
      workers.delete(worker)
    }
  }

  const take = async (signal: AbortSignal): Promise<W> => {
    forgetDead()
    const warm = [...idle.keys()].at(-1)
    if (warm !== undefined) {
      takeIdle(warm)
      return warm
    }
    if (workers.size < size) return start()
    const turn = Promise.withResolvers<W>()
    const leave = () => {
      waiting.delete(turn)
      turn.reject(signal.reason)
    }
    waiting.add(turn)
    signal.addEventListener('abort', leave, { once: true })
    try {
      return await turn.promise
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }

  const giveBack = (worker: W) => {
    forgetDead()
    if (disposed) return
    const [next] = waiting
    if (next === undefined) {
      if (worker.isAlive) letIdle(worker)
      return
    }
    waiting.delete(next)
    try {
      next.resolve(worker.isAlive ? worker : start())
    } catch (error) {
      next.reject(error)
    }
  }

  return {
    warm() {
      forgetDead()
      if (!disposed && idle.size === 0 && workers.size < size) letIdle(start())
    },
    async use(signal, work) {
      signal.throwIfAborted()
      if (disposed) throw stopped()
      const worker = await take(signal)
      try {
        return await work(worker)
      } finally {
        giveBack(worker)
      }
    },
    async [Symbol.asyncDispose]() {
      disposed = true
      for (const turn of waiting) turn.reject(stopped())
      for (const worker of idle.keys()) takeIdle(worker)
      await Promise.all([...workers].map((worker) => worker.end(stopped())))
    },
  }
}

import { rejectOnAbort } from '../keyed-lock.ts'

/** How far a job is, in bytes. */
export interface Progress {
  readonly done: number
  /** 0 until it is known. */
  readonly total: number
}

/** What a running job is given. */
export interface JobContext {
  /** Fires when nobody has waited for the job for a while, or the driver stops. */
  readonly signal: AbortSignal
  /** Says how far the job is whenever somebody asks. */
  reportProgress(progress: () => Progress): void
}

/**
 * Work that belongs to the driver, not to the call that asked for it first: any number of callers wait for one job of the same key,
 * each until its own signal fires; the job goes on, and a later call joins it.
 */
export interface Jobs<T> extends AsyncDisposable {
  /**
   * Joins the job of `key`, starting it when there is none, and waits for it. When the job of another caller fails for a reason that concerns
   * only him (`isPersonal`), this caller starts it again as himself.
   *
   * @param caller names who asks; callers of one name are refused together
   * @throws what the job threw, or the signal's reason when it fires first
   */
  join(
    key: string,
    start: (context: JobContext) => Promise<T>,
    signal: AbortSignal,
    caller?: string,
  ): Promise<T>

  /** Waits for the job of `key` as one of its callers if it runs, whoever started it; undefined when it does not. */
  joinRunning(key: string, signal: AbortSignal): Promise<T> | undefined

  /** How far the job of `key` is; undefined when none runs. */
  progress(key: string): Progress | undefined

  /** How many run. */
  readonly size: number
}

interface Job<T> {
  readonly result: Promise<T>
  readonly controller: AbortController
  readonly caller: string
  waiters: number
  linger: NodeJS.Timeout | undefined
  progress: () => Progress
}

/**
 * The kubelet's longest gap between two tries is 2 min 2 s; a job that nobody has asked for in more than twice that has lost its pod.
 */
const DEFAULT_LINGER_MS = 5 * 60 * 1_000

export function createJobs<T>(
  options: {
    readonly lingerMs?: number
    /** Answers whether an error concerns only who started the job, e.g. that his password is refused; default none does. */
    readonly isPersonal?: (error: unknown) => boolean
  } = {},
): Jobs<T> {
  const { lingerMs = DEFAULT_LINGER_MS, isPersonal = () => false } = options
  const jobs = new Map<string, Job<T>>()
  /** Those that were cancelled and have not ended yet, too. */
  const running = new Set<Promise<T>>()

  const begin = (
    key: string,
    start: (context: JobContext) => Promise<T>,
    caller: string,
  ): Job<T> => {
    const controller = new AbortController()
    let progress = (): Progress => ({ done: 0, total: 0 })
    const result = start({
      signal: controller.signal,
      reportProgress: (report) => {
        progress = report
      },
    }).finally(() => {
      clearTimeout(job.linger)
      running.delete(result)
      // A cancelled job may end after its successor has begun.
      if (jobs.get(key) === job) jobs.delete(key)
    })
    const job: Job<T> = {
      result,
      ...{ controller, caller },
      waiters: 0,
      linger: undefined,
      progress: () => progress(),
    }
    // Whoever waits sees the error; a job that fails while nobody waits is tried again by the next call.
    result.catch(() => undefined)
    jobs.set(key, job)
    running.add(result)
    return job
  }

  const wait = async (key: string, job: Job<T>, signal: AbortSignal): Promise<T> => {
    job.waiters += 1
    clearTimeout(job.linger)
    try {
      return await rejectOnAbort(job.result, signal)
    } finally {
      job.waiters -= 1
      if (job.waiters === 0 && jobs.get(key) === job) {
        job.linger = setTimeout(() => {
          // Off the map first: a caller that comes now starts afresh instead of joining what is ending.
          jobs.delete(key)
          job.controller.abort(new Error('nobody waits for this any more'))
        }, lingerMs).unref()
      }
    }
  }

  return {
    async join(key, start, signal, caller = '') {
      for (;;) {
        signal.throwIfAborted()
        const running = jobs.get(key)
        try {
          return await wait(key, running ?? begin(key, start, caller), signal)
        } catch (error) {
          const isOthers = running !== undefined && running.caller !== caller
          if (!isOthers || signal.aborted || !isPersonal(error)) throw error
        }
      }
    },
    joinRunning(key, signal) {
      const running = jobs.get(key)
      return running && wait(key, running, signal)
    },
    progress: (key) => jobs.get(key)?.progress(),
    get size() {
      return jobs.size
    },
    async [Symbol.asyncDispose]() {
      for (const job of jobs.values()) {
        clearTimeout(job.linger)
        job.controller.abort(new Error('the driver is stopping'))
      }
      await Promise.allSettled(running)
    },
  }
}

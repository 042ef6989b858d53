import { availableParallelism } from 'node:os'
import { CodedError } from '../../../common/errors.ts'
import type { Logger } from '../../../common/log.ts'
import type { ViewJob } from '../view/view-job.ts'
import { createWorkerPool } from '../worker-pool.ts'
import type { TreeJob, TreeSummary } from './tree-job.ts'
import { type BuildOptions, startTreeThread } from './tree-thread.ts'

/** Threads that build trees, kept warm while there is something to pull: starting one takes longer than a small tree. */
export interface TreeWorkers extends AsyncDisposable {
  /** Starts a thread if none waits for work: said when a pull is about to begin, so that it is there when it is needed. */
  warm(): void

  /**
   * Builds a tree in a thread of its own, when one is free. A job that is given `awaitBlob` holds its thread while it waits for
   * blobs: take a place for it first, see {@link takeFollowerPlace}.
   *
   * What a failed or cancelled job left in its root is the caller's to delete; by then, nobody writes to it any more.
   *
   * @throws what `buildTree` throws; the signal's reason when it fires; UNAVAILABLE when the thread died
   */
  build(job: TreeJob, options: BuildOptions): Promise<TreeSummary>

  /** Builds a view as {@link build} builds a tree. @throws what `buildView` throws; else as {@link build} */
  buildView(job: ViewJob, signal: AbortSignal): Promise<TreeSummary>

  /**
   * Takes one of the places for jobs that wait for downloads; undefined when all are taken, so that a registry that hangs never holds
   * every thread. The disposal gives it back, and may be called more than once.
   */
  takeFollowerPlace(): Disposable | undefined
}

/** An 8 GiB archive needs no more heap than a small one; the record of an image layer's 1 M names needs about half of this. */
const MAX_HEAP_MIB = 256

/** How long a cancelled thread may take to stop by itself, before it is terminated in the middle of its work. */
const DEFAULT_GRACE_MS = 2_000

/** A thread costs 12 to 20 MB, and 50 ms to start. */
const DEFAULT_IDLE_MS = 30_000

/** Makes a pool of threads; each is started when it is needed, and ends when it was not for a while. */
export function createTreeWorkers(
  options: {
    /** How many threads at most; default one for each core. */
    readonly size?: number
    /** How many jobs may wait for downloads at once; default one less than there are threads. */
    readonly followers?: number
    readonly log?: Logger
    readonly maxHeapMib?: number
    readonly graceMs?: number
    readonly idleMs?: number
  } = {},
): TreeWorkers {
  const { size = availableParallelism(), maxHeapMib = MAX_HEAP_MIB } = options
  const { log, graceMs = DEFAULT_GRACE_MS, idleMs = DEFAULT_IDLE_MS } = options
  const threads = createWorkerPool({
    ...{ size, idleMs, stopped },
    start: () =>
      startTreeThread({
        ...{ maxHeapMib, graceMs },
        onDeath: (error) => log?.error({ error }, 'a tree worker died'),
      }),
  })
  let freePlaces = options.followers ?? size - 1

  return {
    warm: threads.warm,
    build: (job, call) => threads.use(call.signal, (thread) => thread.build(job, call)),
    buildView: (job, signal) => threads.use(signal, (thread) => thread.buildView(job, signal)),
    takeFollowerPlace() {
      if (freePlaces < 1) return undefined
      freePlaces -= 1
      let held = true
      return {
        [Symbol.dispose]() {
          if (held) freePlaces += 1
          held = false
        },
      }
    },
    [Symbol.asyncDispose]: () => threads[Symbol.asyncDispose](),
  }
}

function stopped(): CodedError {
  return new CodedError('UNAVAILABLE', 'Cannot unpack: the driver is stopping')
}

import type { Logger } from '../../../common/log.ts'
import type { RegistrySource } from '../../../common/oci/registry-source.ts'
import { createConnectionBudget } from './connection-budget.ts'
import { type DownloadThread, startDownloadThread } from './thread.ts'
import {
  downloadInThread,
  type ThreadDownload,
  type ThreadDownloadResult,
} from './thread-download.ts'

/** Threads that download big blobs, so that the main thread touches no byte of them. */
export interface DownloadThreads extends AsyncDisposable {
  /** Starts a thread, if none runs, for what will be downloaded in a moment: that takes as long as a registry's answer. */
  warm(): void
  /** Downloads a blob into its ingest file, as {@link downloadInThread}. */
  download(download: ThreadDownload): Promise<ThreadDownloadResult>
}

/** How many connections there may be. */
export interface ConnectionLimits {
  readonly perBlob: number
  readonly perRegistry: number
  readonly total: number
}

export const DEFAULT_CONNECTION_LIMITS: ConnectionLimits = {
  perBlob: 8,
  perRegistry: 16,
  total: 32,
}

/** A thread costs 12 to 20 MB: not kept for long. */
const DEFAULT_REST_MS = 30_000

/** A thread brings this in two thirds of a second, where hashing is cheap; another one costs 60 to 160 ms of CPU and its memory. */
const WORTH_A_THREAD_BYTES = 512 * 1024 * 1024

/** One place of the pool. */
interface Slot {
  thread: DownloadThread | undefined
  rest: NodeJS.Timeout | undefined
}

/** Makes a pool of at most `size` threads (default 2), which start when they are needed and end when they are not. */
export function createDownloadThreads(options: {
  readonly source: Pick<RegistrySource, 'openBlob'>
  readonly log?: Logger
  readonly size?: number
  readonly connections?: ConnectionLimits
  /** A connection without a byte for this long is dropped, and its part asked for again; default 30,000. */
  readonly idleTimeoutMs?: number
  /** Before a part is asked for again that broke; default 200, twice as long each time that nothing came. */
  readonly retryBaseMs?: number
  /** A thread without a download for this long is ended; default 30,000. */
  readonly restMs?: number
  /** Node's options for the threads. */
  readonly execArgv?: readonly string[]
}): DownloadThreads {
  const { source, log, size = 2, connections = DEFAULT_CONNECTION_LIMITS, execArgv = [] } = options
  const { idleTimeoutMs = 30_000, retryBaseMs = 200, restMs = DEFAULT_REST_MS } = options
  const budget = createConnectionBudget(connections)
  const slots: Slot[] = Array.from({ length: size }, () => ({ thread: undefined, rest: undefined }))
  const ending = new Set<PromiseLike<void>>()

  const start = (slot: Slot): DownloadThread => {
    const thread = startDownloadThread({
      ...{ timing: { idleTimeoutMs, retryBaseMs }, execArgv },
      onExit: (death) => {
        if (slot.thread === thread) slot.thread = undefined
        if (death !== undefined) log?.error({ error: death }, 'a download thread died')
      },
    })
    slot.thread = thread
    return thread
  }

  const stop = async ({ thread }: Slot) => {
    if (thread === undefined) return
    const end = thread[Symbol.asyncDispose]()
    ending.add(end)
    await end
    ending.delete(end)
  }

  /** Gives the thread of a slot its time to live, which whoever uses it next takes away. */
  const letRest = (slot: Slot) => {
    clearTimeout(slot.rest)
    if (slot.thread === undefined || slot.thread.downloads > 0) return
    slot.rest = setTimeout(() => {
      const leaving = { ...slot }
      slot.thread = undefined
      void stop(leaving)
    }, restMs).unref()
  }

  /** The one with the least to do; a further one only if that is much. */
  const choose = (): Slot => {
    const remaining = ({ thread }: Slot) => thread?.remainingBytes ?? WORTH_A_THREAD_BYTES
    const [least] = slots.toSorted((a, b) => remaining(a) - remaining(b))
    if (least === undefined) throw new RangeError('A pool of no threads')
    return least
  }

  return {
    warm() {
      const [first] = slots
      if (first === undefined || slots.some(({ thread }) => thread !== undefined)) return
      start(first)
      letRest(first)
    },
    async download(download) {
      const slot = choose()
      clearTimeout(slot.rest)
      const thread = slot.thread ?? start(slot)
      try {
        return await downloadInThread(download, {
          ...{ thread, source, budget, maxConnections: connections.perBlob },
        })
      } finally {
        letRest(slot)
      }
    },
    async [Symbol.asyncDispose]() {
      for (const slot of slots) {
        clearTimeout(slot.rest)
        void stop(slot)
      }
      await Promise.all(ending)
    },
  }
}

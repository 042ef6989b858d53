import { Worker } from 'node:worker_threads'
import { CodedError } from '../../../common/errors.ts'
import { readBytes } from './byte-counter.ts'
import type {
  DownloadCommand,
  DownloadJob,
  DownloadOutcome,
  DownloadReport,
  DownloadTiming,
} from './download-message.ts'
import { createThreadExchanges, type ThreadExchanges } from './thread-exchanges.ts'

/** What a download in a thread asks of the main one. */
export interface DownloadRequests {
  onOpen(part: Extract<DownloadReport, { readonly kind: 'open' }>): void
  onWant(connections: number): void
}

type WithoutId<T> = T extends { readonly id: number } ? Omit<T, 'id'> : never

/** A download that runs in a thread. The disposal forgets it; it has ended by then. */
export interface ThreadedDownload extends Disposable {
  /** Rejects with UNAVAILABLE when the thread dies. */
  readonly outcome: Promise<DownloadOutcome>
  post(command: WithoutId<DownloadCommand>): void
}

/** A thread that downloads. The disposal ends it in the middle of whatever it does; what is on disk stays. */
export interface DownloadThread extends AsyncDisposable {
  readonly downloads: number
  /** What they still have to get. */
  readonly remainingBytes: number
  readonly exchanges: ThreadExchanges
  begin(job: DownloadJob, requests: DownloadRequests): ThreadedDownload
}

/** Bodies are not on the heap. */
const MAX_HEAP_MIB = 64
/** Node's own default lets garbage of three times as much pile up before it looks. */
const YOUNG_HEAP_MIB = 4

interface Entry extends DownloadRequests {
  readonly job: DownloadJob
  readonly resolve: (outcome: DownloadOutcome) => void
  readonly reject: (error: Error) => void
}

/** Starts a thread; it takes some 40 ms until it works, and what is begun until then waits. */
export function startDownloadThread(options: {
  readonly timing: DownloadTiming
  /** Node's options for the thread. */
  readonly execArgv: readonly string[]
  /** Called when it is gone, with the reason when nobody has ended it. */
  readonly onExit: (death: CodedError | undefined) => void
}): DownloadThread {
  const { timing, execArgv, onExit } = options
  const worker = new Worker(new URL('./download-thread.ts', import.meta.url), {
    name: 'oras-csi download',
    execArgv: [...execArgv],
    workerData: timing,
    resourceLimits: {
      maxOldGenerationSizeMb: MAX_HEAP_MIB,
      maxYoungGenerationSizeMb: YOUNG_HEAP_MIB,
    },
  })
  const post = (command: DownloadCommand) => worker.postMessage(command)
  const exchanges = createThreadExchanges(post)
  const entries = new Map<number, Entry>()
  let next = 0
  let ending = false
  let cause: unknown

  worker.on('message', (report: DownloadReport) => {
    switch (report.kind) {
      case 'answer':
      case 'no-answer':
      case 'unfit':
        exchanges.take(report)
        break
      case 'open':
        entries.get(report.id)?.onOpen(report)
        break
      case 'want':
        entries.get(report.id)?.onWant(report.connections)
        break
      case 'ended':
        entries.get(report.id)?.resolve(report.outcome)
        break
    }
  })
  worker.on('error', (error) => {
    cause = error
  })
  worker.on('exit', (code) => {
    const error = ending ? stopped() : died(cause ?? `exit code ${code}`)
    for (const { reject } of entries.values()) reject(error)
    exchanges.fail(error)
    onExit(ending ? undefined : error)
  })

  return {
    get downloads() {
      return entries.size
    },
    get remainingBytes() {
      return entries.values().reduce((sum, { job }) => sum + job.size - readBytes(job.received), 0)
    },
    exchanges,
    begin(job, requests) {
      const id = next++
      const { promise, resolve, reject } = Promise.withResolvers<DownloadOutcome>()
      entries.set(id, { ...requests, job, resolve, reject })
      post({ kind: 'begin', id, job })
      return {
        outcome: promise,
        // Built from a command without its id, which makes it one again.
        post: (command) => post({ ...command, id } as DownloadCommand),
        [Symbol.dispose]: () => entries.delete(id),
      }
    },
    async [Symbol.asyncDispose]() {
      ending = true
      await worker.terminate()
    },
  }
}

function died(cause: unknown): CodedError {
  const detail = cause instanceof Error ? cause.message : String(cause)
  return new CodedError(
    'UNAVAILABLE',
    `Cannot download: the thread that did it ended unexpectedly (${detail}); it is tried again`,
    { cause },
  )
}

function stopped(): CodedError {
  return new CodedError('UNAVAILABLE', 'Cannot download: the driver is stopping')
}

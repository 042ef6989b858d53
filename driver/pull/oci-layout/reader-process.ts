import { fork } from 'node:child_process'
import { RequestFailure } from '../../../common/oci/request-failure.ts'
import { unpackFailure } from '../download/failure-data.ts'
import type { PooledWorker } from '../worker-pool.ts'
import type { ReaderAnswer, ReaderReply, ReaderRequest } from './reader-message.ts'

/** A process that reads layouts, where it may hang. */
export interface ReaderProcess extends PooledWorker {
  /**
   * Asks one question. By the end nobody writes to an ingest file any more.
   *
   * @throws RequestFailure `UNAVAILABLE` when nothing was heard for the deadline; what the layout is wrong in
   * @throws the signal's reason
   */
  ask(request: ReaderRequest, options: AskOptions): Promise<ReaderAnswer>
}

export interface AskOptions {
  readonly signal: AbortSignal
  readonly onCopying?: (received: number, prefix: number) => void
}

/** An index of 100,000 tags takes a third of this. */
const MAX_HEAP_MIB = 256

/** How long a process may take to load its code. */
const START_MS = 30_000

/** How long a killed process may take to end. One that does not hangs in the kernel: it dies before it does anything else. */
const KILL_MS = 1_000

/**
 * Starts a process, which ends with this one.
 *
 * Not a thread: a thread that hangs in a system call cannot be ended, and keeps its whole process from ending; a process can be left.
 *
 * @param options.onHung told when it was killed and has not ended; the promise resolves when it has
 */
export function startReaderProcess(options: {
  /** Where the layouts are. */
  readonly root: string
  readonly maxManifestBytes: number
  readonly deadlineMs: number
  readonly onHung: (ended: Promise<void>) => void
}): ReaderProcess {
  const { root, maxManifestBytes, deadlineMs, onHung } = options
  const args = [root, String(maxManifestBytes), String(process.pid)]
  const child = fork(new URL('./reader.ts', import.meta.url), args, {
    execArgv: [`--max-old-space-size=${MAX_HEAP_MIB}`],
    serialization: 'advanced',
    // An orphan that hangs must not hold what the driver writes to.
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  // Whoever waits for an answer keeps the driver running, an idle process does not.
  child.unref()
  child.channel?.unref()
  let isAlive = true
  let isReady = false
  let onReply = (_reply: ReaderReply) => {}
  let onEnd = (_error: unknown) => {}
  child.on('message', (reply: ReaderReply) => {
    if (reply.kind === 'ready') isReady = true
    onReply(reply)
  })
  const ended = new Promise<void>((resolve) => {
    const end = (error: unknown) => {
      isAlive = false
      onEnd(error)
      resolve()
    }
    child.once('exit', (code, signal) => end(new Error(`it ended with ${signal ?? code}`)))
    // It could not be started, or not be spoken to.
    child.once('error', end)
  })

  let killed: Promise<void> | undefined
  const kill = () => {
    killed ??= (async () => {
      isAlive = false
      child.kill('SIGKILL')
      const { promise: late, resolve } = Promise.withResolvers<'late'>()
      const timer = setTimeout(() => resolve('late'), KILL_MS)
      if ((await Promise.race([ended, late])) === 'late') onHung(ended)
      clearTimeout(timer)
    })()
    return killed
  }

  const converse = (
    request: ReaderRequest,
    { signal, onCopying }: AskOptions,
  ): Promise<ReaderAnswer> => {
    const { promise, resolve, reject } = Promise.withResolvers<ReaderAnswer>()
    const waitMs = () => (isReady ? deadlineMs : START_MS)
    let deadline = setTimeout(() => reject(tooSlow(root, waitMs())), waitMs())
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    onReply = (reply) => {
      clearTimeout(deadline)
      deadline = setTimeout(() => reject(tooSlow(root, waitMs())), waitMs())
      switch (reply.kind) {
        case 'ready':
          break
        case 'copying':
          onCopying?.(reply.received, reply.prefix)
          break
        case 'failed':
          reject(new Answered(reply))
          break
        default:
          resolve(reply)
      }
    }
    onEnd = (cause) => reject(died(root, cause))
    child.channel?.ref()
    child.send(request, (error) => {
      if (error !== null) reject(died(root, error))
    })
    return promise.finally(() => {
      clearTimeout(deadline)
      signal.removeEventListener('abort', onAbort)
      onReply = () => {}
      onEnd = () => {}
      child.channel?.unref()
    })
  }

  return {
    get isAlive() {
      return isAlive
    },
    async ask(request, call) {
      call.signal.throwIfAborted()
      try {
        return await converse(request, call)
      } catch (error) {
        if (error instanceof Answered) throw unpackFailure(error.reply.failure)
        await kill()
        throw error
      }
    },
    async end(reason) {
      onEnd(reason)
      await kill()
    },
  }
}

/** The question was answered, by a failure: the process is as good as before. */
class Answered extends Error {
  readonly reply: Extract<ReaderReply, { kind: 'failed' }>

  constructor(reply: Extract<ReaderReply, { kind: 'failed' }>) {
    super('failed')
    this.reply = reply
  }
}

/** Not transient: whoever waits has waited long enough, and another host may do better. */
function tooSlow(root: string, deadlineMs: number): RequestFailure {
  return new RequestFailure(
    'UNAVAILABLE',
    `reading the OCI layouts in ${JSON.stringify(root)} took longer than ${deadlineMs / 1_000} s; is its file system there?`,
    { unreachable: true },
  )
}

function died(root: string, cause: unknown): RequestFailure {
  return new RequestFailure(
    'UNAVAILABLE',
    `the process that read the OCI layouts in ${JSON.stringify(root)} ended unexpectedly`,
    { transient: true, cause },
  )
}

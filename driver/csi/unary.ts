import type { handleUnaryCall } from '@grpc/grpc-js'
import { CodedError, toCodedError } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import { shownText } from '../../common/shown-text.ts'
import { GRPC_STATUS } from './status.ts'

/** What a handler is given beside the request. */
export interface CallContext {
  /**
   * Fires a margin before the caller's deadline, with a PENDING error as its reason; also when the caller cancels or the driver stops.
   */
  readonly signal: AbortSignal
}

/** Left for the answer to travel: the kubelet's deadline is 2 min, so a pull is waited for until 3 s before. */
const MARGIN_MS = 3_000
/** Of short deadlines, as tests and tools have them, this part is left instead. */
const MARGIN_SHARE = 0.1
/** For callers without a deadline: the kubelet's own. */
const DEFAULT_DEADLINE_MS = 120_000

/** What every handler shares. */
export interface UnaryOptions {
  readonly log: Logger
  /** Fires when the driver stops. */
  readonly stopping: AbortSignal
}

/**
 * Makes a gRPC handler of an async function: grpc-js never answers a call whose async handler throws, and sends out the message of an
 * error it does not know. Errors become statuses here and nowhere else, and are logged here, once. Requests are never logged: they hold secrets.
 *
 * @param describe what the log may say of a request
 */
export function unary<Request, Response>(
  { log, stopping }: UnaryOptions,
  name: string,
  handler: (request: Request, context: CallContext) => Promise<Response>,
  describe: (request: Request) => object = () => ({}),
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const started = performance.now()
    const controller = new AbortController()
    const give = (code: CodedError['code'], message: string) => () =>
      controller.abort(new CodedError(code, message))
    const timer = setTimeout(
      give('PENDING', 'Still working; call again'),
      patienceMs(call.getDeadline()),
    )
    const onCancelled = give('PENDING', 'The caller gave up')
    const onStopping = give('UNAVAILABLE', 'The driver is stopping; call again')
    call.once('cancelled', onCancelled)
    stopping.addEventListener('abort', onStopping, { once: true })
    if (stopping.aborted) onStopping()

    const finish = () => {
      clearTimeout(timer)
      stopping.removeEventListener('abort', onStopping)
      return { call: name, ...describe(call.request), ms: Math.round(performance.now() - started) }
    }
    // A function that throws before its first await becomes a rejection too.
    Promise.try(handler, call.request, { signal: controller.signal }).then(
      (response) => {
        log.debug(finish(), 'answered')
        callback(null, response)
      },
      (thrown: unknown) => {
        const error = toCodedError(thrown)
        log[LOG_LEVEL[error.code]]({ ...finish(), error }, 'answered with an error')
        callback({ code: GRPC_STATUS[error.code], details: shorten(error.message) })
      },
    )
  }
}

/** A pull that takes long is no fault; a bug is ours; the rest is what somebody has to look at. */
const LOG_LEVEL = {
  INVALID: 'warn',
  NOT_FOUND: 'warn',
  UNAUTHENTICATED: 'warn',
  DENIED: 'warn',
  CONFLICT: 'warn',
  PENDING: 'info',
  UNAVAILABLE: 'warn',
  EXHAUSTED: 'error',
  CORRUPT: 'error',
  INTERNAL: 'error',
} satisfies Record<CodedError['code'], 'info' | 'warn' | 'error'>

/** Statuses travel in a header, and HTTP/2 peers limit those; an event of the kubelet shows 1,024 characters. */
const MAX_DETAILS = 2_000

function shorten(message: string): string {
  // Before it is cut: an escape is longer than its character. What the log says of it, the logger escapes.
  const shown = shownText(message)
  return shown.length <= MAX_DETAILS ? shown : `${shown.slice(0, MAX_DETAILS)}...`
}

function patienceMs(deadline: Date | number): number {
  const left = Number(deadline) - Date.now()
  const patience = Number.isFinite(left) ? left : DEFAULT_DEADLINE_MS
  return Math.max(0, patience - Math.min(MARGIN_MS, patience * MARGIN_SHARE))
}

import type { IncomingMessage, ServerResponse } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Logger } from '../common/log.ts'
import { parseBody } from './parse-body.ts'
import { Refusal } from './refusal.ts'
import { createBodyReader, MAX_BODY_BYTES, ORDINARY_BODY_BYTES } from './request-body.ts'
import { pathOf, refuseUnlessReview, timeoutMsOf } from './request-head.ts'
import type { Answer } from './review-answer.ts'
import type { ServerObserver } from './webhook-metrics.ts'

/** Answers a parsed body; by path, e.g. `/mutate`. */
export type Reviewers = Readonly<Record<string, (document: unknown) => Answer>>

/**
 * Makes what answers the requests of a server: each gets its review, or why it is none. What it gives never rejects.
 *
 * @param options.isDraining whether answers tell clients to close their connections
 */
export function createRequestHandler(options: {
  readonly reviewers: Reviewers
  readonly observer: ServerObserver
  readonly log: Logger
  readonly isDraining: () => boolean
}) {
  const { reviewers, observer, log, isDraining } = options
  const bodies = createBodyReader()
  let turns = Promise.resolve()
  // One large body each turn of the event loop: parsing takes up to a tenth of a second, and small ones must not wait for ten.
  const ownTurn = () => {
    turns = turns.then(() => nextTurn())
    return turns
  }
  const toldMs = new Map<number, number>()
  // Strangers must not fill the log: one line now and then for each status; the metric counts all.
  const tellRefusal = (status: number, reason: string) => {
    const now = performance.now()
    if (now < (toldMs.get(status) ?? 0)) return
    toldMs.set(status, now + REFUSAL_PAUSE_MS)
    log.warn({ status, reason }, 'request refused')
  }
  const review = async (request: IncomingMessage, response: ServerResponse) => {
    const reviewer = refuseUnlessReview(request, reviewers)
    using body = await bodies.read(request)
    if (body.bytes.length > ORDINARY_BODY_BYTES) await ownTurn()
    // Nobody waits any more: the time is better spent on the next one.
    if (response.destroyed) return
    const { status, body: document } = reviewer(parseBody(body.bytes))
    if (isDraining()) response.setHeader('connection', 'close')
    send(response, status, document)
  }
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    observe(request, response, reviewers, observer)
    try {
      await review(request, response)
    } catch (error) {
      if (response.destroyed || response.headersSent) return
      if (error instanceof Refusal) {
        const { status, message } = error
        observer.refused(status)
        tellRefusal(status, message)
        if (isDraining() || !request.complete) response.setHeader('connection', 'close')
        refuse(request, response, error)
        return
      }
      log.error({ error, status: 500 }, 'request failed')
      send(response, 500, { message: 'Internal error: the log has the detail' })
    }
  }
}

/** Measures the request until its answer is on its way, or its client has gone. */
function observe(
  request: IncomingMessage,
  response: ServerResponse,
  reviewers: Reviewers,
  observer: ServerObserver,
): void {
  const path = pathOf(request.url ?? '')
  if (!Object.hasOwn(reviewers, path)) return
  const start = performance.now()
  const timeoutMs = timeoutMsOf(request.url ?? '')
  response.once('close', () => {
    const ms = performance.now() - start
    observer.answered(path, ms / 1_000, !response.writableFinished || ms > timeoutMs)
  })
}

function send(response: ServerResponse, status: number, document: object): void {
  const text = JSON.stringify(document)
  response.writeHead(status, headersOf(text))
  response.end(text)
}

function headersOf(text: string) {
  return {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
  }
}

const REFUSAL_PAUSE_MS = 10_000

// Enough for what is on its way when a client hears of it, and for the rest of a body that might have been read.
const LINGER_MS = 2_000
const LINGER_BYTES = MAX_BODY_BYTES

/** Answers before the body is read, and goes on reading for a moment: closing with bytes unread would reset the connection, and lose the answer. */
function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  { status, message, headers }: Refusal,
): void {
  const text = JSON.stringify({ message })
  response.writeHead(status, { ...headers, ...headersOf(text) })
  if (request.complete) {
    response.end(text)
    return
  }
  response.write(text)
  let left = LINGER_BYTES
  const end = () => {
    clearTimeout(timer)
    response.end()
  }
  const timer = setTimeout(end, LINGER_MS)
  request.once('end', end)
  request.once('close', end)
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length
    if (left < 0) end()
  })
}

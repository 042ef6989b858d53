import { performance } from 'node:perf_hooks'
import { isCodedError, isSystemError } from '../../../common/errors.ts'
import { connectionFailure } from '../../../common/oci/connection-failure.ts'
import type { ByteRange } from './byte-ranges.ts'
import type { Connection, Receiver } from './connection.ts'
import type {
  DownloadJob,
  DownloadOutcome,
  DownloadReport,
  DownloadTiming,
} from './download-message.ts'
import { type FailureData, packFailure, unpackFailure } from './failure-data.ts'
import { openIngest } from './ingest.ts'
import { createPace } from './pace.ts'
import { claimPart, type RunningPart } from './parts.ts'

/** One blob that is being downloaded, as the thread sees it. It reports for itself what it wants and how it ended. */
export interface Download {
  /** Gives a part its bytes: those of the body that `connection` is about to receive, from `start` to `end` of the blob. */
  accept(part: number, body: AcceptedBody): void
  /** Says that a part cannot be had now. */
  refuse(part: number, failure: FailureData): void
  /** Says how many connections it may have. */
  grant(connections: number): void
  /** Says that the server finds it too much. */
  slowDown(): void
  /** Ends it; what is there stays. */
  cancel(): void
}

export interface AcceptedBody {
  readonly connection: Connection
  readonly url: URL
  readonly start: number
  readonly end: number
}

export interface DownloadSurroundings {
  report(report: DownloadReport): void
  /** Takes a connection whose exchange is over. */
  giveBack(connection: Connection): void
  readonly timing: DownloadTiming
}

/** A part that is on its way, and how it fares. */
interface Lane extends RunningPart {
  readonly part: number
  at: number
  /** Asked for while nothing else was under way. */
  sole: boolean
  body: AcceptedBody | undefined
  /** Has brought something since it was added, or broke. */
  flowed: boolean
  /** Whether this try has brought anything, and how many before it have not. */
  gained: boolean
  fruitless: number
  timer: NodeJS.Timeout | undefined
}

/** How often a part is asked for again without a single byte gained in between. */
const MAX_FRUITLESS = 4
const TICK_MS = 40

/**
 * Starts to download a blob: takes up what is on disk, asks for what is missing, over one connection or several, and writes and hashes it.
 *
 * @throws the error of the file system when the ingest file cannot be opened; else whatever goes wrong is reported
 */
export function startDownload(
  id: number,
  job: DownloadJob,
  { report, giveBack, timing }: DownloadSurroundings,
): Download {
  const { size } = job
  const ingest = openIngest(job)
  const pace = createPace(job.maxConnections)
  const lanes = new Map<number, Lane>()
  let nextPart = 0
  let granted = 1
  let asked = 1
  let ended = false
  let catchingUp = false
  let load = performance.eventLoopUtilization()
  const ticker = setInterval(() => guarded(tick), TICK_MS)

  /** Whatever a step throws ends this download, and no other of the thread. */
  function guarded(step: () => void): void {
    if (ended) return
    try {
      step()
    } catch (error) {
      fail(error)
    }
  }

  function tick(): void {
    const now = performance.eventLoopUtilization()
    const busy = performance.eventLoopUtilization(now, load).utilization
    load = now
    const flowing = lanes.values().every(({ flowed }) => flowed)
    const { total } = ingest.parts
    pace.take({
      ...{ nowMs: performance.now(), bytes: total, remaining: size - total },
      ...{ connections: lanes.size, flowing, busy },
    })
    if (pace.wanted !== asked) {
      asked = pace.wanted
      report({ kind: 'want', id, connections: asked })
    }
    fill()
  }

  /** Sees to it that there are as many connections as there should be. */
  function fill(): void {
    while (lanes.size < Math.min(pace.wanted, granted)) {
      const range = claim()
      if (range === undefined) return
      add(range, false)
    }
  }

  function claim(): ByteRange | undefined {
    const running = lanes.values()
    return claimPart({ size, running, complete: ingest.parts, wanted: pace.wanted })
  }

  function add({ start, end }: ByteRange, flowed: boolean): void {
    const lane: Lane = {
      ...{ part: nextPart++, at: start, end, flowed },
      ...{ sole: false, body: undefined, gained: false, fruitless: 0, timer: undefined },
    }
    lanes.set(lane.part, lane)
    ask(lane)
  }

  function ask(lane: Lane): void {
    lane.sole = lanes.size === 1
    lane.gained = false
    const { part, at: start, end, sole } = lane
    report({ kind: 'open', id, part, start, end, sole })
  }

  function receiverOf(lane: Lane, body: AcceptedBody): Receiver {
    return {
      bytes: (chunk) => guarded(() => take(lane, body, chunk)),
      end: () =>
        guarded(() => {
          giveBack(body.connection)
          done(lane)
        }),
      broke: (error) =>
        guarded(() => {
          lane.body = undefined
          const cause = error ?? new Error('the other side closed the connection')
          again(lane, packFailure(connectionFailure(cause, body.url, timing.idleTimeoutMs)))
        }),
    }
  }

  function take(lane: Lane, body: AcceptedBody, chunk: Buffer): void {
    const own = chunk.subarray(0, lane.end - lane.at)
    // A server without ranges sends again what is there: that gains nothing.
    if (ingest.write(own, lane.at) > 0) {
      lane.gained = true
      lane.flowed = true
    }
    lane.at += own.length
    if (lane.at >= lane.end && lane.end < body.end) {
      // Another connection fetches the rest of this body.
      body.connection.close()
      done(lane)
    } else checkEnd()
  }

  function done(lane: Lane): void {
    lanes.delete(lane.part)
    if (lanes.size < Math.min(pace.wanted, granted)) {
      const range = claim()
      if (range !== undefined) add(range, lane.flowed)
    }
    checkEnd()
  }

  /** Asks again for what a connection still owed, a little later; gives it to the others when it only gets in their way. */
  function again(lane: Lane, failure: FailureData): void {
    lane.fruitless = lane.gained ? 0 : lane.fruitless + 1
    lane.flowed = false
    if (lanes.size > 1 && lane.fruitless > 1) {
      retire(lane)
      return
    }
    if (lane.fruitless > MAX_FRUITLESS) throw unpackFailure(failure)
    const waitMs = timing.retryBaseMs * 2 ** lane.fruitless * (0.5 + Math.random() / 2)
    lane.timer = setTimeout(() => guarded(() => ask(lane)), waitMs)
  }

  /** Gives a part up. A connection that is left alone goes on to where its answer ends, instead of being cut for one that is none. */
  function retire(lane: Lane): void {
    lanes.delete(lane.part)
    pace.fallBack(lanes.size)
    const [left, ...others] = lanes.values()
    if (left?.body === undefined || others.length > 0) return
    const [free] = ingest.parts.missing(left.at, left.body.end)
    if (free?.start === left.at) left.end = free.end
  }

  /** Ends when everything is there; hashes what came out of order until then, in pieces, so that the sockets are served. */
  function checkEnd(): void {
    if (ingest.hashed) {
      finish()
      return
    }
    if (catchingUp || !ingest.behind) return
    catchingUp = true
    setImmediate(() => {
      catchingUp = false
      guarded(() => {
        ingest.catchUp()
        checkEnd()
      })
    })
  }

  function finish(): void {
    const digest = ingest.finish()
    if (digest === job.digest) {
      ingest.removeRecord()
      end({ kind: 'verified' })
    } else {
      ingest.remove()
      end({ kind: 'wrong', digest, resumed: ingest.resumed })
    }
  }

  function fail(error: unknown): void {
    // What filled the disk must not go on filling it: the kubelet would evict pods.
    const useless = isCodedError(error, 'CORRUPT') || isSystemError(error, 'ENOSPC', 'EDQUOT')
    if (useless) ingest.remove()
    end({ kind: 'failed', failure: packFailure(error), resumed: ingest.resumed })
  }

  function end(outcome: DownloadOutcome): void {
    ended = true
    clearInterval(ticker)
    for (const { body, timer } of lanes.values()) {
      clearTimeout(timer)
      body?.connection.close()
    }
    lanes.clear()
    ingest[Symbol.dispose]()
    report({ kind: 'ended', id, outcome })
  }

  // Not before the caller has it: it may end at once.
  setImmediate(() =>
    guarded(() => {
      fill()
      checkEnd()
    }),
  )

  return {
    accept(part, body) {
      const lane = lanes.get(part)
      if (ended || lane === undefined) {
        body.connection.close()
        return
      }
      guarded(() => {
        if (body.start !== lane.at) {
          // No ranges: everything comes over this connection, from the start.
          pace.stayAlone()
          lane.at = body.start
          lane.end = body.end
        }
        lane.body = body
        body.connection.receive(receiverOf(lane, body))
      })
    },
    refuse(part, failure) {
      const lane = lanes.get(part)
      if (lane === undefined) return
      guarded(() => {
        const error = unpackFailure(failure)
        if (lanes.size > 1) {
          // Without ranges, others can never help.
          if (isCodedError(error, 'INVALID')) pace.stayAlone()
          retire(lane)
          return
        }
        if (lane.sole && !isCodedError(error, 'UNAVAILABLE')) throw error
        again(lane, failure)
      })
    },
    grant(connections) {
      granted = connections
      pace.fallBack(connections)
      guarded(fill)
    },
    slowDown: () => pace.fallBack(Math.floor(pace.wanted / 2)),
    cancel: () => {
      if (!ended) end({ kind: 'cancelled' })
    },
  }
}

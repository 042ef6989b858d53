import { setTimeout as wait } from 'node:timers/promises'
import { isCodedError } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import { createBoundedMap } from './bounded-map.ts'
import type { EventObserver } from './event-metrics.ts'
import { type EventWriter, type Occurrence, RetryLater } from './event-writer.ts'
import { isPodNamed, type PodEvent } from './pod-event.ts'
import { fullBucket, type Rate, type TokenBucket, takeToken } from './token-bucket.ts'

/** Tells pods what happens, in the background. */
export interface EventRecorder {
  /** Notes an event to be written, or drops it. Answers at once, and never throws: whoever publishes a volume has no part in it. */
  record(event: PodEvent): void
}

/** A recorder that writes. The disposal drops what has not been written: the node's pods wait for the next driver. */
export interface RunningEventRecorder extends EventRecorder, AsyncDisposable {}

/** Where there is nobody to tell. */
export const NO_EVENTS: EventRecorder = { record: () => undefined }

/** A few sources that start, and progress every half a minute afterwards. client-go gives a pod 25 events and one more each 5 minutes. */
const POD_RATE: Rate = { burst: 25, perSecond: 0.2 }
/** A hundred pods that wait for a pull tell so 3 times a second. The kubelet may write 50 a second. */
const NODE_RATE: Rate = { burst: 100, perSecond: 10 }
/** As many kilobytes, when the API server does not answer. */
const MAX_WAITING = 1_000
const MAX_PODS = 4_096
/** How often one event is tried. */
const MAX_TRIES = 4
const BACKOFF_MS = 1_000
const MAX_BACKOFF_MS = 30_000
/** Every pod of a namespace that is being deleted is refused. */
const REFUSED_LOG_MS = 600_000

/**
 * Starts to write events, one after the other: whatever the API server does, no more than a request is under way and no more than a thousand events
 * wait.
 *
 * @param options.backoffMs before the second try; doubles
 */
export function startEventRecorder(options: {
  readonly writer: EventWriter
  readonly observer: EventObserver
  readonly log: Logger
  readonly backoffMs?: number
  readonly maxWaiting?: number
  readonly rates?: { readonly pod: Rate; readonly node: Rate }
  /** Milliseconds on a clock that does not jump. */
  readonly now?: () => number
}): RunningEventRecorder {
  const { writer, observer, log, backoffMs = BACKOFF_MS, maxWaiting = MAX_WAITING } = options
  const { rates = { pod: POD_RATE, node: NODE_RATE }, now = () => performance.now() } = options
  const stopping = new AbortController()
  const waiting = new Map<string, Occurrence>()
  const pods = createBoundedMap<string, TokenBucket>(MAX_PODS)
  let node = fullBucket(rates.node, now())
  /** What the log has said. */
  let isDown = false
  let refusedMs = Number.NEGATIVE_INFINITY
  let writing: Promise<void> | undefined

  /** Takes of both or of none. */
  const mayTell = (uid: string) => {
    const at = now()
    const ofPod = takeToken(pods.get(uid) ?? fullBucket(rates.pod, at), rates.pod, at)
    const ofNode = ofPod && takeToken(node, rates.node, at)
    if (ofPod === undefined || ofNode === undefined) return false
    pods.set(uid, ofPod)
    node = ofNode
    return true
  }

  const writeOne = async (key: string, occurrence: Occurrence) => {
    for (let tries = 1; ; tries += 1) {
      try {
        await writer.write(key, occurrence, stopping.signal)
        observer.written()
        if (isDown) log.info('events are written again')
        isDown = false
        return
      } catch (error) {
        if (stopping.signal.aborted) return
        const isOutage = isCodedError(error, 'UNAVAILABLE')
        if (isOutage ? !isDown : now() - refusedMs > REFUSED_LOG_MS) {
          log.warn({ error }, 'cannot write an event')
        }
        if (isOutage) isDown = true
        else refusedMs = now()
        if (!isOutage || tries === MAX_TRIES) {
          observer.dropped(isOutage ? 'unavailable' : 'refused')
          return
        }
        await pause(error, tries)
      }
    }
  }

  const pause = async (error: unknown, tries: number) => {
    const own = backoffMs * 2 ** (tries - 1) * (0.5 + Math.random())
    const ms = error instanceof RetryLater ? Math.max(error.retryAfterMs, own) : own
    await wait(Math.min(ms, MAX_BACKOFF_MS), undefined, {
      signal: stopping.signal,
      ref: false,
    }).catch(() => undefined)
  }

  const writeAll = async () => {
    for (const [key, occurrence] of waiting) {
      if (stopping.signal.aborted) return
      waiting.delete(key)
      await writeOne(key, occurrence)
    }
  }

  const start = () => {
    // A fault in here must not end the process.
    const safely = () => writeAll().catch((error) => log.error({ error }, 'events have failed'))
    writing ??= safely().finally(() => {
      writing = undefined
      // What was noted after the last look.
      if (waiting.size > 0 && !stopping.signal.aborted) start()
    })
  }

  return {
    record(event) {
      if (stopping.signal.aborted || !isPodNamed(event.pod)) return
      const key = JSON.stringify([event.pod.uid, event.reason, event.subject])
      const before = waiting.get(key)
      const atMs = Date.now()
      if (before !== undefined) {
        // Not written yet: the newest is what counts.
        waiting.set(key, { event, times: before.times + 1, atMs })
        return
      }
      if (waiting.size >= maxWaiting) return observer.dropped('queue-full')
      if (!mayTell(event.pod.uid)) return observer.dropped('rate-limit')
      waiting.set(key, { event, times: 1, atMs })
      start()
    },
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error('the driver is stopping'))
      await writing
      waiting.clear()
    },
  }
}

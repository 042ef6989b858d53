import { RequestFailure } from './request-failure.ts'

/** Notices which hosts do not answer, and keeps everybody from waiting for them one after the other. */
export interface Silence {
  /**
   * Runs one attempt at a host. When the host has been silent for too long, it is not made; now and then one is, to see.
   *
   * @throws RequestFailure that does not pass by itself within a pull: UNAVAILABLE, saying when the host is asked again
   * @throws what the attempt threw
   */
  through<T>(host: string, attempt: () => Promise<T>): Promise<T>
}

interface Quiet {
  /** How long somebody waited in vain, all attempts since the last answer together, those side by side counted once. */
  waitedMs: number
  /** Up to when that is counted. */
  countedMs: number
  /** Until when nobody is asked; 0 while the host may be. */
  untilMs: number
  /** Somebody is trying whether it is back. */
  isTried: boolean
  /** What became of the last attempt. */
  message: string
}

const NEVER_SILENT = { waitedMs: 0, countedMs: 0, untilMs: 0, isTried: false }

/** What a host is left alone for. A pod's next try comes later than that, and an outage ends when it ends. */
const REST_MS = 10_000
/** Hosts come from references, so they are many; the oldest goes. */
const MAX_HOSTS = 1_000

/**
 * Time that nobody answers adds up over attempts, parts of a blob, and callers: five tries of each of five requests of thirty seconds are
 * twelve minutes. A host that refuses connections at once costs nothing and is not what this is for.
 *
 * Any answer of the host, be it a refusal, ends its silence.
 *
 * @param patienceMs how long a host may be silent
 * @param nowMs milliseconds; only differences count
 */
export function createSilence({
  patienceMs,
  nowMs = () => performance.now(),
}: {
  readonly patienceMs: number
  readonly nowMs?: () => number
}): Silence {
  const hosts = new Map<string, Quiet>()

  const count = (host: string, startedMs: number, { message }: RequestFailure) => {
    const quiet = hosts.get(host) ?? { ...NEVER_SILENT, message }
    quiet.message = message
    const now = nowMs()
    quiet.waitedMs += now - Math.max(startedMs, quiet.countedMs)
    quiet.countedMs = now
    if (quiet.waitedMs >= patienceMs) quiet.untilMs = now + REST_MS
    hosts.set(host, quiet)
    const oldest = hosts.keys().next().value
    if (hosts.size > MAX_HOSTS && oldest !== undefined) hosts.delete(oldest)
  }

  return {
    async through(host, attempt) {
      const startedMs = nowMs()
      const quiet = hosts.get(host)
      const isResting = quiet !== undefined && quiet.untilMs > 0
      if (isResting && (quiet.isTried || startedMs < quiet.untilMs)) {
        throw refuse(quiet, startedMs)
      }
      if (isResting) quiet.isTried = true
      try {
        const answer = await attempt()
        hosts.delete(host)
        return answer
      } catch (error) {
        if (isSilence(error)) count(host, startedMs, error)
        else if (error instanceof RequestFailure) hosts.delete(host)
        throw error
      } finally {
        if (isResting) quiet.isTried = false
      }
    },
  }
}

/** The connection brought no answer: a failure that was made of one has no cause. */
function isSilence(error: unknown): error is RequestFailure {
  return error instanceof RequestFailure && error.transient && error.cause !== undefined
}

function refuse({ waitedMs, untilMs, isTried, message }: Quiet, now: number): RequestFailure {
  const next = isTried || untilMs <= now ? 'soon' : `in ${Math.ceil((untilMs - now) / 1_000)} s`
  return new RequestFailure(
    'UNAVAILABLE',
    `${message}; after ${Math.round(waitedMs / 1_000)} s without an answer this is remembered, and it is asked again ${next}`,
    { unreachable: true },
  )
}

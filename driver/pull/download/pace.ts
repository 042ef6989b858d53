/** A download at one moment. */
export interface PaceSample {
  readonly nowMs: number
  /** Received by now. */
  readonly bytes: number
  /** Still to come. */
  readonly remaining: number
  /** Connections, and whether each of them has brought something since it was added. */
  readonly connections: number
  readonly flowing: boolean
  /** From 0 to 1: how much of the time since the last sample the thread was working. */
  readonly busy: number
}

/** Decides how many connections a download should have. */
export interface Pace {
  /** Connections that are wanted now; more than there are, or fewer. */
  readonly wanted: number
  /** Takes in a moment, some twenty in a second, and decides. */
  take(sample: PaceSample): void
  /** There can be no more than so many now: somebody refused the others. Tried again later. */
  fallBack(connections: number): void
  /** There can never be more than one. */
  stayAlone(): void
}

/** Long enough for a rate that means something behind 20 ms of latency, short enough to reach eight connections within a second. */
const WINDOW_MS = 120
/** New connections may show in any of these windows that they help: they start slowly, and rates vary. */
const TRIAL_WINDOWS = 3
/** A connection takes two or three round trips to bring its first byte: not worth it for less than this. */
const MIN_REST_MS = 400
/** Twice the connections should bring much more; what is less is the link's limit, or another's share of it. */
const MIN_GAIN = 1.2
/** A thread that has no time to read is not helped by more to read. */
const MAX_BUSY = 0.8
/** Until more connections are tried again that did not help, or were refused; twice as long each time. */
const PAUSE_MS = 3_000

interface Window {
  readonly first: PaceSample
  last: PaceSample
  busyMs: number
}

/**
 * Starts with one connection and doubles them for as long as that makes the whole much faster; what did not help is taken back.
 * Registries and object stores limit a connection at 25 to 130 MB/s; a server that does not is left alone.
 */
export function createPace(maxConnections: number): Pace {
  let wanted = 1
  let most = maxConnections
  let window: Window | undefined
  /** What there was before the connections that are on trial. */
  let trial: { readonly connections: number; readonly rate: number; windows: number } | undefined
  let pauseMs = PAUSE_MS
  let pausedUntilMs = 0
  let nowMs = 0

  const settle = (connections: number) => {
    wanted = Math.max(1, connections)
    trial = undefined
    window = undefined
    pausedUntilMs = nowMs + pauseMs
    pauseMs *= 2
  }

  const decide = ({ remaining }: PaceSample, rate: number, busy: number) => {
    if (trial !== undefined && rate < trial.rate * MIN_GAIN) {
      trial.windows += 1
      if (trial.windows === TRIAL_WINDOWS) settle(trial.connections)
      return
    }
    trial = undefined
    if (wanted >= most || remaining < rate * MIN_REST_MS || busy > MAX_BUSY) return
    trial = { connections: wanted, rate, windows: 0 }
    wanted = Math.min(most, wanted * 2)
  }

  return {
    get wanted() {
      return wanted
    },
    take(sample) {
      nowMs = sample.nowMs
      if (nowMs < pausedUntilMs || !sample.flowing || sample.connections !== wanted) {
        window = undefined
        return
      }
      window ??= { first: sample, last: sample, busyMs: 0 }
      window.busyMs += sample.busy * (nowMs - window.last.nowMs)
      window.last = sample
      const elapsedMs = nowMs - window.first.nowMs
      if (elapsedMs < WINDOW_MS) return
      const rate = (sample.bytes - window.first.bytes) / elapsedMs
      const busy = window.busyMs / elapsedMs
      window = undefined
      decide(sample, rate, busy)
    },
    fallBack(connections) {
      if (connections < wanted) settle(connections)
    },
    stayAlone() {
      most = 1
      wanted = 1
    },
  }
}

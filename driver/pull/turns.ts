import { rejectOnAbort } from '../keyed-lock.ts'

/** How long one may hold a turn that others wait for, and how fast he is to be. */
export interface Patience {
  /** Over how long the speed is taken, in milliseconds; nobody is judged by less. */
  readonly windowMs: number
  /** Below this he gives up his turn; bytes a second. */
  readonly minBytesPerSecond: number
}

/** Work that wants a turn. */
export interface TurnRequest<T> {
  /** Who shares: a registry, e.g. `ghcr.io`. */
  readonly sharer: string
  /** When it fires before the turn has come, the work is not begun. */
  readonly signal: AbortSignal
  /** Bytes so far; `done` for work whose rest is not the sharer's to delay. Absent: none ever come. */
  readonly progress?: () => number | 'done'
  /** What ends the work when it was too slow for those who wait; told over how many milliseconds. */
  readonly tooSlow: (ms: number) => Error
  /** @param signal fires with the request's, and with `tooSlow` */
  readonly work: (signal: AbortSignal) => Promise<T>
}

/**
 * A number of turns for all sharers together and fewer for each: one that answers slowly, or never, does not keep the others waiting.
 *
 * Turns go to the sharer who holds the fewest, and among equals in the order of asking. Who holds one is left alone while nobody waits for it.
 */
export interface Turns {
  /** @throws what the work throws; the signal's reason */
  take<T>(request: TurnRequest<T>): Promise<T>
}

/** How often those who hold turns are looked at while others wait: a few subtractions for each. */
const LOOKS_PER_WINDOW = 4

export function createTurns({
  total,
  perSharer,
  patience,
}: {
  readonly total: number
  readonly perSharer: number
  readonly patience: Patience
}): Turns {
  const { windowMs, minBytesPerSecond } = patience
  const waiting = new Set<Turn>()
  const held = new Set<Turn>()
  let watch: NodeJS.Timeout | undefined

  const heldBy = (sharer: string) =>
    held.values().reduce((sum, turn) => sum + (turn.sharer === sharer ? 1 : 0), 0)

  const next = (): Turn | undefined => {
    if (held.size >= total) return undefined
    let best: { readonly turn: Turn; readonly others: number } | undefined
    const seen = new Set<string>()
    for (const turn of waiting) {
      // An earlier one of the same sharer goes first.
      if (seen.has(turn.sharer)) continue
      seen.add(turn.sharer)
      const others = heldBy(turn.sharer)
      if (others < perSharer && (best === undefined || others < best.others)) {
        best = { turn, others }
      }
    }
    return best?.turn
  }

  /** To be called whenever somebody comes or goes. */
  const advance = () => {
    for (let turn = next(); turn !== undefined; turn = next()) {
      waiting.delete(turn)
      held.add(turn)
      turn.sinceMs = performance.now()
      turn.begin()
    }
    if (waiting.size > 0) watch ??= setInterval(look, windowMs / LOOKS_PER_WINDOW).unref()
    else {
      clearInterval(watch)
      watch = undefined
    }
  }

  /** Takes their turns from those who are too slow for whom they keep waiting. */
  const look = () => {
    const wanted = new Set(waiting.values().map(({ sharer }) => sharer))
    const isFull = held.size >= total
    for (const turn of held) {
      const ms = performance.now() - turn.sinceMs
      if (ms < windowMs || (!isFull && !wanted.has(turn.sharer))) continue
      const bytes = turn.progress()
      if (bytes === 'done') continue
      if ((bytes - turn.bytes) * 1_000 < minBytesPerSecond * ms) turn.slow.abort(turn.tooSlow(ms))
      turn.sinceMs += ms
      turn.bytes = bytes
    }
  }

  return {
    async take({ sharer, signal, progress = () => 0, tooSlow, work }) {
      signal.throwIfAborted()
      const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
      const slow = new AbortController()
      const turn: Turn = { sharer, progress, tooSlow, begin, slow, sinceMs: 0, bytes: 0 }
      waiting.add(turn)
      advance()
      try {
        await rejectOnAbort(begun, signal)
        signal.throwIfAborted()
        return await work(AbortSignal.any([signal, slow.signal]))
      } finally {
        waiting.delete(turn)
        held.delete(turn)
        advance()
      }
    },
  }
}

interface Turn extends Required<Pick<TurnRequest<unknown>, 'sharer' | 'progress' | 'tooSlow'>> {
  readonly begin: () => void
  readonly slow: AbortController
  /** When the speed was last taken, in milliseconds, and what had come by then. */
  sinceMs: number
  bytes: number
}

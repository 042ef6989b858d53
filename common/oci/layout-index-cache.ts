import type { LayoutIndex } from './layout-index.ts'
import type { HttpAnswer } from './transport.ts'

/** An index.json as a web server last sent it. */
export interface KnownIndex {
  readonly index: LayoutIndex
  /** What the server calls this version of it. */
  readonly etag: string
  /** As it was sent. */
  readonly bytes: number
}

/** Remembers the indexes of layouts, so that asking whether one has changed costs no transfer. */
export interface LayoutIndexCache {
  get(url: string): KnownIndex | undefined
  /** Takes in what an answer brought, unless the server could call another version the same. */
  set(url: string, answer: HttpAnswer, found: Omit<KnownIndex, 'etag'>): void
}

/** Parsed they take a few times as much memory. */
const MAX_BYTES = 4 * 1024 * 1024

/**
 * A version younger than this may be followed by another within the same second, and nginx makes its ETag of the second and the length,
 * which does not change where only digests do.
 */
const SETTLED_MS = 2_000

/** Files whose times are all the same (of a reproducible image, say) have such ETags for good: no version is believed in for longer. */
const MAX_AGE_MS = 600_000

/** @param nowMs a clock; default a monotonic one */
export function createLayoutIndexCache(
  nowMs: () => number = () => performance.now(),
): LayoutIndexCache {
  const known = new Map<string, KnownIndex & { readonly untilMs: number }>()
  let total = 0
  const forget = (url: string) => {
    total -= known.get(url)?.bytes ?? 0
    known.delete(url)
  }
  return {
    get(url) {
      const found = known.get(url)
      if (found !== undefined && found.untilMs > nowMs()) return found
      forget(url)
      return undefined
    },
    set(url, answer, found) {
      forget(url)
      const etag = answer.header('etag')
      if (etag === undefined || !isSettled(answer) || found.bytes > MAX_BYTES) return
      known.set(url, { ...found, etag, untilMs: nowMs() + MAX_AGE_MS })
      total += found.bytes
      for (const oldest of known.keys()) {
        if (total <= MAX_BYTES) break
        forget(oldest)
      }
    },
  }
}

/** By the server's own clock. */
function isSettled(answer: HttpAnswer): boolean {
  const modified = answer.header('last-modified')
  if (modified === undefined) return true
  return Date.parse(answer.header('date') ?? '') - Date.parse(modified) >= SETTLED_MS
}

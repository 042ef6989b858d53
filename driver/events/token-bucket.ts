/** How much may happen: some at once, and then as much as is refilled. */
export interface Rate {
  readonly burst: number
  readonly perSecond: number
}

/** A bucket as it was left. */
export interface TokenBucket {
  readonly tokens: number
  readonly atMs: number
}

/** A full bucket. */
export function fullBucket({ burst }: Rate, nowMs: number): TokenBucket {
  return { tokens: burst, atMs: nowMs }
}

/** Takes one token out of a bucket that has been refilled since; undefined when there is none. Pure. */
export function takeToken(bucket: TokenBucket, rate: Rate, nowMs: number): TokenBucket | undefined {
  const seconds = Math.max(0, nowMs - bucket.atMs) / 1_000
  const tokens = Math.min(rate.burst, bucket.tokens + seconds * rate.perSecond)
  return tokens < 1 ? undefined : { tokens: tokens - 1, atMs: nowMs }
}

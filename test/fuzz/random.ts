/** Reproducible randomness. */
export interface Random {
  /** An integer from 0 to `below` - 1. */
  integer(below: number): number
  pick<T>(items: readonly [T, ...T[]] | readonly T[]): T
}

/** The same seed gives the same numbers: mulberry32. */
export function createRandom(seed: number): Random {
  let state = seed | 0
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return (t ^ (t >>> 14)) >>> 0
  }
  const integer = (below: number) => Math.floor((next() / 2 ** 32) * below)
  return {
    integer,
    pick(items) {
      const item = items[integer(items.length)]
      if (item === undefined) throw new Error('Nothing to pick from')
      return item
    },
  }
}

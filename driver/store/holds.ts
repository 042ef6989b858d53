/**
 * What work that is under way holds against eviction: trees and views by key, blobs by digest. In memory, since the work does not outlive this
 * process either; what a volume needs for longer stands in its lease.
 */
export interface Holds {
  /** Holds these until the answer is disposed of; several may hold the same. To be called before looking whether it is there. */
  hold(keys: Iterable<string>): Disposable
  has(key: string): boolean
  /** Whether nothing is under way. */
  readonly isEmpty: boolean
}

export function createHolds(): Holds {
  const holders = new Map<string, number>()
  return {
    hold(keys) {
      const held = new Set(keys)
      for (const key of held) holders.set(key, (holders.get(key) ?? 0) + 1)
      return {
        [Symbol.dispose]() {
          for (const key of held) {
            const left = (holders.get(key) ?? 0) - 1
            if (left > 0) holders.set(key, left)
            else holders.delete(key)
          }
          // A second disposal gives nothing back.
          held.clear()
        },
      }
    },
    has: (key) => holders.has(key),
    get isEmpty() {
      return holders.size === 0
    },
  }
}

/** The connections of one download, counted against those of all. The disposal gives them back. */
export interface ConnectionShare extends Disposable {
  /** Asks for so many, or needs no more than that. @returns how many it may have; one at least */
  resize(wanted: number): number
}

/** Keeps the downloads of a node from opening more connections than it or a registry can take. */
export interface ConnectionBudget {
  /** Begins with one connection, which nobody is denied: how many downloads there are is limited elsewhere. */
  share(registry: string): ConnectionShare
}

export function createConnectionBudget(limits: {
  readonly total: number
  readonly perRegistry: number
}): ConnectionBudget {
  const registries = new Map<string, number>()
  let total = 0
  const count = (registry: string, change: number) => {
    total += change
    const now = (registries.get(registry) ?? 0) + change
    if (now === 0) registries.delete(registry)
    else registries.set(registry, now)
  }
  return {
    share(registry) {
      let own = 1
      count(registry, own)
      return {
        resize(wanted) {
          const free = Math.min(
            limits.total - total,
            limits.perRegistry - (registries.get(registry) ?? 0),
          )
          const next = Math.max(1, Math.min(wanted, own + Math.max(0, free)))
          count(registry, next - own)
          own = next
          return own
        },
        [Symbol.dispose]() {
          count(registry, -own)
          own = 0
        },
      }
    },
  }
}

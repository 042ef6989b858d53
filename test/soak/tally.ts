/** Counts by name what was done and what came of it, so that one sees that a run was no idle one. */
export interface Tally {
  add(name: string, count?: number): void
  count(name: string): number
  /** `name count`, sorted, of the names that begin so. */
  lines(prefix: string): readonly string[]
}

export function createTally(): Tally {
  const counts = new Map<string, number>()
  return {
    add(name, count = 1) {
      counts.set(name, (counts.get(name) ?? 0) + count)
    },
    count: (name) => counts.get(name) ?? 0,
    lines: (prefix) =>
      [...counts]
        .filter(([name]) => name.startsWith(prefix))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, count]) => `${name.slice(prefix.length)} ${count}`),
  }
}

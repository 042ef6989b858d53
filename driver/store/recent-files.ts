/** What small files said when they were read last, for the one process that changes them. */
export interface RecentFiles<T> {
  /**
   * Gives what a file holds, without the disk if it was read lately.
   *
   * @param read gives undefined for a file that is not there or not readable, which is not remembered
   */
  get(path: string, read: () => Promise<T | undefined>): Promise<T | undefined>

  /** To be called after each change of a file, also one that failed. */
  forget(path: string): void
}

/** Those that a node's pods start from again and again. */
const MAX_FILES = 1_024

/** @param isSmall answers whether something may be kept: what a pod can make large is read each time */
export function createRecentFiles<T>(isSmall: (value: T) => boolean): RecentFiles<T> {
  const known = new Map<string, T>()
  let changes = 0
  return {
    async get(path, read) {
      const found = known.get(path)
      if (found !== undefined) {
        // Used last: the first to go is the one that was used longest ago.
        known.delete(path)
        known.set(path, found)
        return found
      }
      const before = changes
      const value = await read()
      // What was read while something changed may be what it was before.
      if (value === undefined || !isSmall(value) || changes !== before) return value
      known.set(path, value)
      for (const oldest of known.keys()) {
        if (known.size <= MAX_FILES) break
        known.delete(oldest)
      }
      return value
    },
    forget(path) {
      changes += 1
      known.delete(path)
    },
  }
}

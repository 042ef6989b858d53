/** A map that forgets what was set longest ago when there is too much in it: a node sees pods without end. */
export interface BoundedMap<K, V> {
  get(key: K): V | undefined
  /** The entry is the newest then. */
  set(key: K, value: V): void
  delete(key: K): void
  readonly size: number
}

export function createBoundedMap<K, V>(maxSize: number): BoundedMap<K, V> {
  const entries = new Map<K, V>()
  return {
    get: (key) => entries.get(key),
    set(key, value) {
      entries.delete(key)
      entries.set(key, value)
      if (entries.size <= maxSize) return
      for (const oldest of entries.keys()) {
        entries.delete(oldest)
        return
      }
    },
    delete: (key) => void entries.delete(key),
    get size() {
      return entries.size
    },
  }
}

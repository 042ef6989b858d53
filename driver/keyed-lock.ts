/** Lets one caller at a time through for each key, in the order of asking; callers of different keys do not meet. */
export interface KeyedLock {
  /**
   * Waits until the key is free, and takes it. Disposing of the answer gives it back.
   *
   * @throws the signal's reason when it fires first; the key is not taken then
   */
  acquire(key: string, signal?: AbortSignal): Promise<Disposable>
}

export function createKeyedLock(): KeyedLock {
  /** By key: resolves when everybody who has asked so far is done. */
  const tails = new Map<string, Promise<void>>()

  return {
    async acquire(key, signal) {
      signal?.throwIfAborted()
      const before = tails.get(key) ?? Promise.resolve()
      const { promise: released, resolve: release } = Promise.withResolvers<void>()
      const tail = before.then(() => released)
      tails.set(key, tail)
      const giveBack = () => {
        release()
        if (tails.get(key) === tail) tails.delete(key)
      }
      try {
        await (signal === undefined ? before : rejectOnAbort(before, signal))
      } catch (error) {
        // Those behind wait for who is ahead of us, not for us.
        giveBackAfter(before, giveBack)
        throw error
      }
      return { [Symbol.dispose]: giveBack }
    },
  }
}

function giveBackAfter(before: Promise<void>, giveBack: () => void): void {
  void before.then(giveBack)
}

/** Settles as `promise` does, or rejects with the signal's reason when that fires first. */
export function rejectOnAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason)
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  return Promise.race([promise, aborted]).finally(() =>
    signal.removeEventListener('abort', onAbort),
  )
}

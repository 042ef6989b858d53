/** Holds requests until it is released. */
export interface Gate extends Disposable {
  /** Resolves when the first request is held. */
  readonly arrived: Promise<void>
  /** How many requests have been held so far. */
  readonly arrivals: number
  /** Resolves when so many requests have been held. */
  arrivedTimes(count: number): Promise<void>
  /** Lets the held ones go on, and holds no more. Idempotent. */
  release(): void
}

/** The same, for those who hold. */
export interface OpenGate extends Gate {
  /** Counts an arrival, and resolves when the gate is released. */
  pass(): Promise<void>
}

/** Makes a gate that holds. */
export function openGate(onRelease: () => void): OpenGate {
  const released = Promise.withResolvers<void>()
  const waiters: { count: number; resolve: () => void }[] = []
  let arrivals = 0
  const arrivedTimes = (count: number): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    if (arrivals >= count) resolve()
    else waiters.push({ count, resolve })
    return promise
  }
  const release = (): void => {
    onRelease()
    released.resolve()
  }
  return {
    arrived: arrivedTimes(1),
    get arrivals() {
      return arrivals
    },
    arrivedTimes,
    release,
    pass: () => {
      arrivals += 1
      for (const { count, resolve } of waiters) if (arrivals >= count) resolve()
      return released.promise
    },
    [Symbol.dispose]: release,
  }
}

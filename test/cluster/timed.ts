/** Does a piece of work, and says how long it took. */
export type Step = <T>(what: string, work: () => Promise<T>) => Promise<T>

/** Makes one that writes lines like `   4.4 s  API server`. */
export function timed(log: (line: string) => void): Step {
  return async (what, work) => {
    const start = performance.now()
    const result = await work()
    log(`${((performance.now() - start) / 1000).toFixed(1).padStart(6)} s  ${what}`)
    return result
  }
}

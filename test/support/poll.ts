/**
 * Asks again until `check` gives something other than undefined or false, and gives that. For facts that nothing announces
 * (a file, a mount, a health endpoint); where there is an event, wait for the event. Errors of `check` count as "not yet".
 *
 * @throws after `deadlineMs`, naming `what`, with the last error as cause
 */
export async function poll<T>(
  check: () => T | Promise<T>,
  options: { readonly deadlineMs: number; readonly what: string },
): Promise<Exclude<T, undefined | false>> {
  const deadline = performance.now() + options.deadlineMs
  for (;;) {
    let last: unknown
    try {
      const value = await check()
      if (isThere(value)) return value
    } catch (error) {
      last = error
    }
    if (performance.now() >= deadline) {
      const why = last instanceof Error ? `: ${last.message}` : ''
      throw new Error(`Waited ${options.deadlineMs} ms in vain for ${options.what}${why}`, {
        cause: last,
      })
    }
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS))
  }
}

// Short against what is waited for, long against the cost of a check.
const INTERVAL_MS = 10

function isThere<T>(value: T): value is Exclude<T, undefined | false> {
  return value !== undefined && value !== false
}

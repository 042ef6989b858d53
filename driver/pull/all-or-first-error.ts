/**
 * Runs pieces of work together. When one fails, the others' signal fires, so that the failure is told at once and not after the slowest; it
 * is thrown when all have ended.
 */
export async function allOrFirstError(
  signal: AbortSignal,
  work: readonly ((signal: AbortSignal) => Promise<void>)[],
): Promise<void> {
  const failing = new AbortController()
  const either = AbortSignal.any([signal, failing.signal])
  let failed: { readonly error: unknown } | undefined
  await Promise.all(
    work.map(async (piece) => {
      try {
        await piece(either)
      } catch (error) {
        failed ??= { error }
        failing.abort(error)
      }
    }),
  )
  if (failed !== undefined) throw failed.error
}

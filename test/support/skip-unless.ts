import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'

/** What a test uses of vitest's context. */
interface Skippable {
  skip(condition: boolean, note?: string): void
}

/**
 * Skips the running test, with the reason as its note, unless `why` is undefined. In CI a skip that test/allowed-skips.json does
 * not list fails the run.
 *
 * @example test('binds read-only', async (context) => { skipUnless(context, await whyNoMounts()) ... })
 */
export function skipUnless(context: Skippable, why: string | undefined): void {
  context.skip(why !== undefined, why)
}

/** Says which of these programs are missing, e.g. `oras`; undefined when none is. */
export async function whyNoProgram(...names: readonly string[]): Promise<string | undefined> {
  const missing: string[] = []
  for (const name of names) if (!(await isOnPath(name))) missing.push(name)
  return missing.length === 0 ? undefined : `not installed: ${missing.join(', ')}`
}

async function isOnPath(name: string): Promise<boolean> {
  // biome-ignore lint/style/noProcessEnv: the search path is the process's own
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const found = await access(join(directory, name), constants.X_OK).then(
      () => true,
      () => false,
    )
    if (found) return true
  }
  return false
}

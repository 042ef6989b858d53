import { createHash } from 'node:crypto'
import { access, readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Where what takes minutes to make is kept between runs, outside the repository; `XDG_CACHE_HOME` names the parent. */
export function cacheDirectory(...names: readonly string[]): string {
  // biome-ignore lint/style/noProcessEnv: the user's cache directory is the environment's to name
  const parent = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache')
  return join(parent, 'oras-csi', ...names)
}

/** A short hash over texts and files (`{ file }`) that decide what is made. */
export async function cacheKey(
  parts: readonly (string | { readonly file: string })[],
): Promise<string> {
  const hash = createHash('sha256')
  for (const part of parts) {
    const bytes = typeof part === 'string' ? part : await readFile(part.file)
    hash.update(`${bytes.length}\0`).update(bytes)
  }
  return hash.digest('hex').slice(0, 16)
}

/** Answers whether something is there. */
export function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

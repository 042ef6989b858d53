import { randomBytes } from 'node:crypto'
import { open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isSystemError } from '../../common/errors.ts'

/** Begins the name of a file that is being written; whatever lists a directory of the store leaves these out. */
export const TEMPORARY_PREFIX = '.tmp-'

/** A name that no process before this one has left behind, and no other file of this one has. */
const OWN_NAME = randomBytes(8).toString('hex')
let written = 0

/**
 * Writes a file so that a reader sees all of it or what was there before, also when this process is killed.
 * It is not synced to the disk: what must survive a power cut carries a durable mark (durability.ts).
 */
export async function writeSmallFile(path: string, content: string | Uint8Array): Promise<void> {
  written += 1
  const temporary = join(dirname(path), `${TEMPORARY_PREFIX}${OWN_NAME}-${written}`)
  try {
    await writeFile(temporary, content, { mode: 0o600, flag: 'wx' })
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** The same for the few files whose loss in a power cut could not be made good; waits for the disk. */
export async function writeSyncedFile(path: string, content: string): Promise<void> {
  await writeSmallFile(path, content)
  for (const written of [path, dirname(path)]) {
    await using handle = await open(written)
    await handle.sync()
  }
}

/** Removes what a process that was killed in {@link writeSmallFile} left in a directory that nobody else writes to. */
export async function removeUnfinished(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (name.startsWith(TEMPORARY_PREFIX)) await rm(join(directory, name), { force: true })
  }
}

/** What a small file holds: it may be absent, or be there and not readable as what it should be (a power cut truncates). */
export type SmallFile<T> =
  | { readonly state: 'absent' }
  | { readonly state: 'broken'; readonly why: string }
  | { readonly state: 'ok'; readonly value: T }

/**
 * Reads a JSON file. `parse` throws on anything that it does not expect: the file is then `broken`, which callers treat as
 * "verify again", never as "absent and fine".
 */
export async function readSmallFile<T>(
  path: string,
  parse: (value: unknown) => T,
): Promise<SmallFile<T>> {
  let content: string
  try {
    content = await readFile(path, 'utf8')
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return { state: 'absent' }
    throw error
  }
  try {
    return { state: 'ok', value: parse(JSON.parse(content)) }
  } catch (error) {
    return { state: 'broken', why: error instanceof Error ? error.message : String(error) }
  }
}

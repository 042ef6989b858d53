import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readSmallFile, writeSyncedFile } from './small-file.ts'

/** The version of the store's directory layout, written to the file `format` as JSON. */
export const STORE_FORMAT = 1

/** Where this version's store lies on a node that other versions may have used. */
export interface StoreSite {
  /** Of this version's format: the store's directory itself, or `format-N` in it when that belongs to another format. */
  readonly directory: string
  /** Stores of other formats: their volumes are still to be unpublished. */
  readonly others: readonly string[]
  /** The format of the store's directory, as JSON, when that is not this version's. */
  readonly foreignFormat?: string
}

/**
 * Finds out where this version's store lies; changes nothing. Inside of what belongs to another format: what is beside it may be another file system, or
 * not in the driver's container.
 *
 * @param base the store's directory, which exists
 */
export async function findStoreSite(base: string): Promise<StoreSite> {
  const format = await readSmallFile(join(base, 'format'), (value) => value)
  // Absent, or emptied by a power cut: every version writes it synced and as JSON, so this is none that we do not know.
  const isOurs = format.state !== 'ok' || format.value === STORE_FORMAT
  const nested = (await readdir(base)).filter((name) => /^format-[0-9]+$/.test(name))
  const directory = isOurs ? base : join(base, `format-${STORE_FORMAT}`)
  return {
    directory,
    others: [base, ...nested.map((name) => join(base, name))].filter((one) => one !== directory),
    ...(!isOurs && { foreignFormat: JSON.stringify(format.value) }),
  }
}

/** Notes of which format a store is, unless that stands there already. */
export async function writeFormat(directory: string): Promise<void> {
  const path = join(directory, 'format')
  const format = await readSmallFile(path, (value) => value)
  if (format.state !== 'ok') await writeSyncedFile(path, `${STORE_FORMAT}\n`)
}

import { lstatSync, readdirSync } from 'node:fs'
import { isSystemError } from '../../common/errors.ts'

/** The bytes of all files in trees, views, blobs and downloads, each inode once. */
export function contentBytes(storeDirectory: string): number {
  const inodes = new Map<number, number>()
  const walk = (directory: string) => {
    for (const name of entriesIn(directory)) {
      const path = `${directory}/${name}`
      const found = lstatOf(path)
      if (found?.isDirectory()) walk(path)
      // A download may have holes.
      else if (found?.isFile()) inodes.set(found.ino, Math.min(found.size, found.blocks * 512))
    }
  }
  for (const name of ['trees', 'views', 'blobs', 'ingest']) walk(`${storeDirectory}/${name}`)
  return [...inodes.values()].reduce((sum, bytes) => sum + bytes, 0)
}

/** None where there is no such directory: the driver removes as we look. */
export function entriesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return []
    throw error
  }
}

function lstatOf(path: string) {
  try {
    return lstatSync(path)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  }
}

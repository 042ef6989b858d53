import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { isSystemError } from '../../common/errors.ts'

/**
 * Reads everything that is seen below a directory, in the form of `treeText`. Synchronously: hundreds of volumes are read after each step.
 *
 * @param seen hashes of this round by inode: volumes share files
 */
export function shownText(root: string, seen: Map<string, string>): string {
  const lines: string[] = []
  const walk = (directory: string, prefix: string) => {
    for (const name of readdirSync(directory)) {
      const path = `${directory}/${name}`
      const shown = `${prefix}${name}`
      const found = lstatSync(path)
      if (found.isDirectory()) {
        lines.push(`${shown}/`)
        walk(path, `${shown}/`)
      } else if (found.isSymbolicLink()) {
        lines.push(`${shown} -> ${readlinkSync(path)}`)
      } else {
        const inode = `${found.dev}:${found.ino}`
        const hash = seen.get(inode) ?? hashOf(path)
        seen.set(inode, hash)
        lines.push(`${shown} ${found.size} ${hash}`)
      }
    }
  }
  walk(root, '')
  return lines.sort().join('\n')
}

/** Tries to write into a directory, and says what came of it: an error's code, or undefined when it worked. */
export function writeError(directory: string): string | undefined {
  try {
    writeFileSync(`${directory}/written-by-the-soak-test`, '')
    return undefined
  } catch (error) {
    if (isSystemError(error)) return error.code
    throw error
  }
}

function hashOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

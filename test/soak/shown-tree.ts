import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { isSystemError } from '../../common/errors.ts'

/**
 * Reads everything that is seen below a directory, in the form of `treeText`. Synchronously: hundreds of volumes are read after each step.
 *
 * @param seen hashes of this round by inode: volumes share files
 * @param own the name at the root of what the pod has written itself
 */
export function shownText(root: string, seen: Map<string, string>, own?: string): string {
  const lines: string[] = []
  const walk = (directory: string, prefix: string) => {
    for (const name of readdirSync(directory)) {
      const path = `${directory}/${name}`
      const shown = `${prefix}${name}`
      if (shown === own) continue
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

/**
 * Writes into a private volume as its pod would, the first time, and reads what it has written every other time.
 *
 * @returns whose it is: the pod's own name, unless something is wrong
 */
export function ownMark(directory: string, name: string, pod: string): string {
  const path = `${directory}/${name}`
  try {
    writeFileSync(path, pod, { flag: 'wx' })
  } catch (error) {
    if (!isSystemError(error, 'EEXIST')) throw error
  }
  return readFileSync(path, 'utf8')
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

import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isSystemError } from './errors.ts'

/**
 * Reads the version of the package that a file is part of, whether it runs as it was written or compiled, some folders deeper.
 *
 * @param directory of that file: `import.meta.dirname`
 * @throws Error when there is no package.json above
 */
export function packageVersion(directory: string): string {
  for (let at = directory; at !== dirname(at); at = dirname(at)) {
    try {
      const parsed: unknown = JSON.parse(readFileSync(join(at, 'package.json'), 'utf8'))
      if (typeof parsed === 'object' && parsed !== null && 'version' in parsed) {
        return String(parsed.version)
      }
    } catch (error) {
      if (!isSystemError(error, 'ENOENT')) throw error
    }
  }
  throw new Error(`No package.json above ${directory}`)
}

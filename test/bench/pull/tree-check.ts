import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Content } from './content.ts'

/**
 * Looks whether a pull wrote what it should have, by number and size of files: a failure that nobody saw would be fast.
 *
 * @throws when not
 */
export async function checkTree(directory: string, { files, bytes }: Content): Promise<void> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const found = entries.filter((entry) => entry.isFile())
  let total = 0
  for (const entry of found) total += (await stat(join(entry.parentPath, entry.name))).size
  if (found.length === files && total === bytes) return
  throw new Error(
    `"${directory}" has ${found.length} files of ${total} bytes; expected ${files} of ${bytes}`,
  )
}

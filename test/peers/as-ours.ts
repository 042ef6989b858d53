import { expect } from 'vitest'
import type { TreeEntry } from './tree-listing.ts'

/**
 * What our tree must be when theirs is this. Paths, kinds, contents and links are equal; modes and times are not, as volumes.md has it:
 * a linked blob is 0444, or 0555 when it starts as programs do, and has no time of its own; what an archive holds keeps its time, and
 * its mode is made readable for every uid.
 *
 * @param options.directories titles of the layers that are archives
 */
export function asOurs(
  theirs: Readonly<Record<string, TreeEntry>>,
  { directories = [] }: { readonly directories?: readonly string[] },
): Record<string, object> {
  const isUnpacked = (path: string) =>
    directories.some((directory) => `${path}/`.startsWith(`${directory}/`))
  return Object.fromEntries(
    Object.entries(theirs).map(([path, entry]) => {
      if (isUnpacked(path)) return [path, { ...entry, mode: readable(entry) }]
      if (entry.kind === 'directory') return [path, { ...entry, mode: 0o755 }]
      const mode = entry.isProgram === true ? 0o555 : 0o444
      return [path, { ...entry, mode, ...(entry.kind === 'file' && { mtime: expect.any(Number) }) }]
    }),
  )
}

/** Everybody may read what the owner may, and run what the owner may run. */
function readable({ kind, mode }: TreeEntry): number {
  if (kind === 'symlink') return mode
  const owner = mode & 0o700
  return owner | ((owner & 0o500) >> 3) | ((owner & 0o500) >> 6)
}

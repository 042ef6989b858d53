import { createHash } from 'node:crypto'
import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'

/** What stands at one path of a tree. */
export interface TreeEntry {
  readonly kind: 'file' | 'directory' | 'symlink' | 'other'
  /** Permission bits with setuid, setgid and sticky; of a symlink 0. */
  readonly mode: number
  /** Of a file. */
  readonly sha256?: string
  /** Whether a file starts as scripts and ELF programs do. */
  readonly isProgram?: boolean
  /** Of a symlink. */
  readonly linkTarget?: string
  /** Seconds since 1970, of a file. */
  readonly mtime?: number
}

/** Reads a directory tree without following links; keys are paths relative to it, in the order of their bytes. */
export async function listTree(root: string): Promise<Record<string, TreeEntry>> {
  const names = await readdir(root, { recursive: true })
  names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const entries: Record<string, TreeEntry> = {}
  for (const name of names) entries[name] = await entryAt(join(root, name))
  return entries
}

async function entryAt(path: string): Promise<TreeEntry> {
  const stats = await lstat(path)
  const mode = stats.mode & 0o7777
  if (stats.isDirectory()) return { kind: 'directory', mode }
  if (stats.isSymbolicLink()) return { kind: 'symlink', mode: 0, linkTarget: await readlink(path) }
  if (!stats.isFile()) return { kind: 'other', mode }
  const content = await readFile(path)
  return {
    kind: 'file',
    mode,
    sha256: createHash('sha256').update(content).digest('hex'),
    isProgram: /^(?:#!|\x7fELF)/.test(content.toString('latin1', 0, 4)),
    mtime: Math.floor(stats.mtimeMs / 1000),
  }
}

import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

/** What stands at one path. */
export type Fact =
  | { readonly kind: 'directory'; readonly mode: number; readonly mtimeNs: bigint | undefined }
  | { readonly kind: 'symlink'; readonly target: string }
  | {
      readonly kind: 'file'
      readonly mode: number
      readonly mtimeNs: bigint | undefined
      readonly sha256: string
      /** The first path that is the same file. */
      readonly sameAs: string
    }
  | { readonly kind: 'other' }

const HOUR_NS = 3_600_000_000_000n

/** Everything below a directory, itself left out. A time of just now is nobody's but the clock's: undefined. */
export function factsOf(root: string): Record<string, Fact> {
  const facts: Record<string, Fact> = {}
  const firstNames = new Map<bigint, string>()
  const now = BigInt(Date.now()) * 1_000_000n
  const visit = (directory: string) => {
    for (const name of readdirSync(join(root, directory)).sort()) {
      const path = join(directory, name)
      const absolute = join(root, path)
      const stat = lstatSync(absolute, { bigint: true })
      const distance = now - stat.mtimeNs
      const mtimeNs = distance < HOUR_NS && distance > -HOUR_NS ? undefined : stat.mtimeNs
      const mode = Number(stat.mode) & 0o7777
      if (stat.isDirectory()) {
        facts[path] = { kind: 'directory', mode, mtimeNs }
        visit(path)
      } else if (stat.isSymbolicLink()) {
        facts[path] = { kind: 'symlink', target: readlinkSync(absolute) }
      } else if (stat.isFile()) {
        const sameAs = firstNames.get(stat.ino) ?? path
        firstNames.set(stat.ino, sameAs)
        const sha256 = createHash('sha256').update(readFileSync(absolute)).digest('hex')
        facts[path] = { kind: 'file', mode, mtimeNs, sha256, sameAs }
      } else {
        facts[path] = { kind: 'other' }
      }
    }
  }
  visit('')
  return facts
}

/** Changes what two programs are known, and documented, to do otherwise. */
export function withModes(
  facts: Readonly<Record<string, Fact>>,
  change: (mode: number, kind: 'file' | 'directory') => number,
): Record<string, Fact> {
  return Object.fromEntries(
    Object.entries(facts).map(([path, fact]) =>
      fact.kind === 'file' || fact.kind === 'directory'
        ? [path, { ...fact, mode: change(fact.mode, fact.kind) }]
        : [path, fact],
    ),
  )
}

import { createHash } from 'node:crypto'

/** A file by its content, or a symbolic link by its target. */
export type ExpectedEntry =
  | { readonly kind: 'file'; readonly sha256: string; readonly size: number }
  | { readonly kind: 'link'; readonly target: string }

/** What a volume must show, by path. Directories are those above its files and links, and no others. */
export type ExpectedTree = ReadonlyMap<string, ExpectedEntry>

/** Which files of an artifact a source takes: globs, and the same in plain words of this test. */
export const FILE_CHOICES = {
  text: { globs: ['*.txt'], takes: (path: string) => path.endsWith('.txt') },
  others: { globs: ['!*.txt'], takes: (path: string) => !path.endsWith('.txt') },
  first: { globs: ['/d0/**'], takes: (path: string) => path.startsWith('d0/') },
} as const satisfies Record<
  string,
  { readonly globs: readonly string[]; readonly takes: (path: string) => boolean }
>

export type FileChoice = keyof typeof FILE_CHOICES

/** Describes the content of a file. */
export function fileEntry(content: Uint8Array): ExpectedEntry {
  const sha256 = createHash('sha256').update(content).digest('hex')
  return { kind: 'file', sha256, size: content.length }
}

/** What one source contributes: the files it takes, below its path. */
export function placed(
  tree: ExpectedTree,
  { files, path }: { readonly files?: FileChoice; readonly path?: string },
): ExpectedTree {
  const taken = [...tree].filter(([name]) => files === undefined || FILE_CHOICES[files].takes(name))
  return new Map(
    taken.map(([name, entry]) => [path === undefined ? name : `${path}/${name}`, entry]),
  )
}

/** What several sources show together: the later one's file replaces the earlier one's. */
export function merged(trees: readonly ExpectedTree[]): ExpectedTree {
  return new Map(trees.flatMap((tree) => [...tree]))
}

/** Every line is a directory, file or link; equal trees have equal texts. */
export function treeText(tree: ExpectedTree): string {
  const lines = new Set<string>()
  for (const [path, entry] of tree) {
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) {
      lines.add(`${path.slice(0, at)}/`)
    }
    lines.add(
      entry.kind === 'file'
        ? `${path} ${entry.size} ${entry.sha256}`
        : `${path} -> ${entry.target}`,
    )
  }
  return [...lines].sort().join('\n')
}

import { gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { base256, paxRecords, type TarEntry, tarOf } from '../support/tar.ts'

/** An archive as it is distributed, and its entries as any reader sees them once they are decompressed. */
export interface GeneratedArchive {
  readonly tar: Buffer
  readonly compressed: Buffer
}

const component = fc.constantFrom(
  ...[
    'a',
    'b',
    'c',
    'dir',
    'README.md',
    '.hidden',
    ' ',
    'with space',
    'é',
    'e\u0301',
    '模型',
    '🚀',
  ],
  ...[
    'back\\slash',
    '"quoted"',
    "it's",
    '*?[x]',
    '-dash',
    '~',
    'a=b',
    'c'.repeat(60),
    'x'.repeat(200),
  ],
)
const path = fc.array(component, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'))
const size = fc.oneof(
  fc.constantFrom(0, 1, 511, 512, 513, 1024, 10_240, 70_000),
  fc.nat({ max: 3_000 }),
)
const seconds = fc.oneof(
  fc.integer({ min: 1, max: 1_600_000_000 }),
  fc.constantFrom(0.5, 1.25, 1_234_567_890.123_456, 2 ** 31 + 1),
)

const drawnEntry = fc.record({
  path,
  kind: fc.constantFrom('file', 'file', 'file', 'directory', 'symlink', 'hardlink'),
  size,
  fill: fc.constantFrom('x', '\0', 'line\n'),
  mode: fc.constantFrom(0o644, 0o755, 0o600, 0o711, 0o440, 0o777, 0o666, 0o4755, 0o2750, 0o1777),
  mtime: seconds,
  /** Chooses what a link points to. */
  other: fc.nat(),
  longNames: fc.constantFrom('pax', 'gnu'),
  spelling: fc.constantFrom('plain', 'plain', 'dot', 'double', 'slash'),
  extra: fc.constantFrom(
    'none',
    'none',
    'none',
    'pax-size',
    'base-256',
    'comment',
    'xattr',
    'global',
  ),
} as const)

type DrawnEntry = typeof drawnEntry extends fc.Arbitrary<infer T> ? T : never

const COMPRESS = {
  plain: (bytes: Buffer) => bytes,
  gzip: (bytes: Buffer) => gzipSync(bytes),
  members: (bytes: Buffer) =>
    Buffer.concat([gzipSync(bytes.subarray(0, 700)), gzipSync(bytes.subarray(700))]),
  zstd: (bytes: Buffer) => zstdCompressSync(bytes),
} as const

/**
 * Archives that every reader takes: their entries do not conflict, links stay inside.
 *
 * @param options.duplicates whether a file may come again, with other content; readers then differ about its other names
 */
export function archives(options: {
  readonly duplicates: boolean
}): fc.Arbitrary<GeneratedArchive> {
  return fc
    .record({
      drawn: fc.array(drawnEntry, { maxLength: 24 }),
      compression: fc.constantFrom('plain', 'gzip', 'members', 'zstd'),
      trailer: fc.boolean(),
    } as const)
    .map(({ drawn, compression, trailer }) => {
      const entries = consistent(drawn, options.duplicates)
      const tar = tarOf(entries, { trailer: trailer || entries.length === 0 })
      return { tar, compressed: COMPRESS[compression](tar) }
    })
}

/** What is known of a path so far. */
interface Known {
  readonly kind: 'file' | 'directory' | 'symlink'
  readonly mode: number
  readonly mtime: number
}

/** Entries that do not conflict: what would is left out. */
export function consistent(drawn: readonly DrawnEntry[], duplicates: boolean): TarEntry[] {
  const known = new Map<string, Known>()
  const linked = new Set<string>()
  const entries: TarEntry[] = []
  for (const { path: name, kind, mode, mtime, ...rest } of drawn) {
    const parents = parentsOf(name)
    if (parents.some((parent) => (known.get(parent)?.kind ?? 'directory') !== 'directory')) continue
    const present = known.get(name)
    const isAgain = present !== undefined && present.kind === kind && kind === 'file'
    if (present !== undefined && !(isAgain && duplicates && !linked.has(name))) continue
    const files = [...known].filter(([, { kind: of }]) => of === 'file')
    const [target, targetFacts] = files[rest.other % Math.max(1, files.length)] ?? []
    if (kind === 'hardlink' && (target === undefined || targetFacts === undefined)) continue
    for (const parent of parents) {
      if (!known.has(parent)) known.set(parent, { kind: 'directory', mode, mtime })
    }
    const common = { path: spelled(name, rest.spelling), mode, mtime, longNames: rest.longNames }
    switch (kind) {
      case 'file':
        known.set(name, { kind, mode, mtime })
        entries.push(...withExtra({ ...common, content: filled(rest) }, rest.extra))
        break
      case 'directory':
        known.set(name, { kind, mode, mtime })
        entries.push({ ...common, type: 'directory', mode: mode | 0o700 })
        break
      case 'symlink':
        known.set(name, { kind, mode, mtime })
        entries.push({ ...common, type: 'symlink', linkname: linkTarget(name, rest.other) })
        break
      case 'hardlink': {
        // As every writer does: the facts of the file itself.
        const facts = targetFacts ?? { kind: 'file', mode, mtime }
        known.set(name, { ...facts, kind: 'file' })
        linked.add(name).add(target ?? '')
        entries.push({
          ...{ ...common, mode: facts.mode, mtime: facts.mtime },
          type: 'hardlink',
          linkname: target ?? '',
        })
        break
      }
    }
  }
  return entries
}

function parentsOf(name: string): string[] {
  const parts = name.split('/')
  return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join('/'))
}

/** One path in the spellings that writers use for it. */
function spelled(name: string, spelling: DrawnEntry['spelling']): string {
  switch (spelling) {
    case 'plain':
    case 'slash':
      return name
    case 'dot':
      return `./${name}`
    case 'double':
      return name.replaceAll('/', '//')
  }
}

function filled({ size: bytes, fill }: Pick<DrawnEntry, 'size' | 'fill'>): Buffer {
  return Buffer.alloc(bytes, fill)
}

/** A target inside the tree, which need not be there. */
function linkTarget(name: string, choice: number): string {
  const up = '../'.repeat(name.split('/').length - 1)
  return (
    [`${up}a`, 'gone', `${up}dir/b`, '.', `${up}${'l'.repeat(120)}`, `./${up}c`][choice % 6] ?? ''
  )
}

/** The same file, written in another of the ways there are. */
function withExtra(
  entry: TarEntry & { readonly content: Buffer },
  extra: DrawnEntry['extra'],
): TarEntry[] {
  const bytes = entry.content.length
  switch (extra) {
    case 'none':
      return [entry]
    case 'pax-size':
      return [{ ...entry, pax: { size: String(bytes) } }]
    case 'base-256':
      return [{ ...entry, header: { size: base256(BigInt(bytes)) } }]
    case 'comment':
      return [{ ...entry, pax: { comment: 'c'.repeat(600), 'ACME.unknown': '模' } }]
    case 'xattr':
      return [{ ...entry, pax: { 'SCHILY.xattr.user.note': 'x' } }]
    case 'global':
      return [
        { path: 'pax_global_header', typeflag: 'g', content: paxRecords({ comment: 'commit' }) },
        entry,
      ]
  }
}

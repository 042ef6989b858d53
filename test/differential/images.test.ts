import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { digestHex } from '../../common/oci/digest.ts'
import { parseManifest } from '../../common/oci/manifest.ts'
import { layout } from '../../driver/pull/layout/layout.ts'
import { buildTree } from '../../driver/pull/tree/tree-builder.ts'
import { DEFAULT_TREE_LIMITS } from '../../driver/pull/tree/tree-limits.ts'
import { type Built, image, writeLayout } from '../support/artifact.ts'
import { skipUnless, whyNoProgram } from '../support/skip-unless.ts'
import { type TarEntry, tarOf } from '../support/tar.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { fixedSeed } from './seed.ts'
import { type Fact, factsOf, withModes } from './tree-facts.ts'

const COUNT = 60
/** Ten seconds on an idle machine. */
const TIMEOUT_MS = 120_000
const NEVER = new AbortController().signal
const why = await whyNoProgram('umoci')

const NAMES = ['a', 'b', 'c', 'd'] as const
const path = fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 3 })

const drawnEntry = fc.record({
  path,
  kind: fc.constantFrom(
    'file',
    'file',
    'directory',
    'symlink',
    'hardlink',
    'whiteout',
    'opaque',
    'device',
  ),
  mode: fc.constantFrom(0o644, 0o755, 0o4755, 0o600),
  mtime: fc.integer({ min: 1, max: 1_600_000_000 }),
  size: fc.nat({ max: 2_000 }),
  other: fc.nat(),
} as const)

type DrawnEntry = typeof drawnEntry extends fc.Arbitrary<infer T> ? T : never

/** Several layers, the upper ones with whiteouts and opaque directories of what the lower ones have. */
const images = fc
  .array(fc.array(drawnEntry, { maxLength: 14 }), { minLength: 1, maxLength: 4 })
  .map((layers) => image({ layers: layersOf(layers).map((entries) => tarOf(entries)) }))

/** Layers as a builder writes them: a name once in a layer, its directories before it, a whiteout only of what is below. */
function layersOf(drawn: readonly (readonly DrawnEntry[])[]): TarEntry[][] {
  let below = new Map<string, string>()
  return drawn.map((entries) => {
    const own = new Map<string, string>()
    const written: TarEntry[] = []
    for (const entry of entries) {
      const name = entry.path.join('/')
      const parents = entry.path.slice(1).map((_, i) => entry.path.slice(0, i + 1).join('/'))
      const kindOf = (at: string) => own.get(at) ?? below.get(at)
      // Parents that are links, or gone in this layer, are another test's.
      if (parents.some((parent) => !['directory', undefined].includes(kindOf(parent)))) continue
      if (own.has(name) || [...own.keys()].some((other) => other.startsWith(`${name}/`))) continue
      const made = entriesOf(entry, name, { own, below })
      if (made.length === 0) continue
      for (const parent of parents) {
        if (own.has(parent)) continue
        own.set(parent, 'directory')
        written.push({ path: `${parent}/`, type: 'directory', mtime: entry.mtime })
      }
      written.push(...made)
    }
    below = merged(below, own)
    return written
  })
}

function entriesOf(
  { kind, mode, mtime, size, other }: DrawnEntry,
  name: string,
  { own, below }: { own: Map<string, string>; below: ReadonlyMap<string, string> },
): TarEntry[] {
  const cut = name.lastIndexOf('/') + 1
  const directory = name.slice(0, cut)
  switch (kind) {
    case 'file':
      own.set(name, 'file')
      return [{ path: name, mode, mtime, content: 'x'.repeat(size) }]
    case 'directory':
      own.set(name, 'directory')
      return [{ path: `${name}/`, type: 'directory', mode: mode | 0o700, mtime }]
    case 'symlink': {
      const linkname = ['/a/b', '../../../a', 'gone', '/etc/passwd'][other % 4] ?? ''
      own.set(name, 'symlink')
      return [{ path: name, type: 'symlink', linkname, mtime }]
    }
    case 'hardlink': {
      const files = [...own].filter(([, of]) => of === 'file').map(([file]) => file)
      const linkname = files[other % Math.max(1, files.length)]
      if (linkname === undefined) return []
      own.set(name, 'hardlink')
      return [{ path: name, type: 'hardlink', linkname, mode, mtime }]
    }
    case 'whiteout':
      if (!below.has(name)) return []
      own.set(name, 'whiteout')
      return [{ path: `${directory}.wh.${name.slice(cut)}` }]
    case 'opaque':
      if (below.get(name) !== 'directory') return []
      own.set(name, 'opaque')
      return [{ path: `${name}/`, type: 'directory', mtime }, { path: `${name}/.wh..wh..opq` }]
    case 'device':
      // A name of its own: what takes a device's place is another test's.
      return [{ path: `${directory}fifo`, type: 'fifo' }]
  }
}

/** What the layers so far come to. */
function merged(below: ReadonlyMap<string, string>, own: ReadonlyMap<string, string>) {
  const all = new Map(below)
  for (const [name, kind] of own) {
    if (kind !== 'directory') {
      for (const other of below.keys()) if (other.startsWith(`${name}/`)) all.delete(other)
    }
    if (kind === 'whiteout') all.delete(name)
    else all.set(name, kind === 'opaque' ? 'directory' : kind)
  }
  return all
}

test(`${COUNT} images with whiteouts and opaque directories are what umoci unpacks (seed ${fixedSeed(COUNT).seed})`, {
  timeout: TIMEOUT_MS,
}, async (context) => {
  skipUnless(context, why)
  await using directory = await temporaryDirectory()
  const seen: Fact[] = []
  for (const [number, built] of fc.sample(images, fixedSeed(COUNT)).entries()) {
    const layoutDirectory = directory.file(`${number}.layout`)
    mkdirSync(layoutDirectory)
    await writeLayout(layoutDirectory, 'v1', built)
    const bundle = directory.file(`${number}.bundle`)
    const rootless = process.getuid?.() === 0 ? [] : ['--rootless']
    await promisify(execFile)('umoci', [
      'unpack',
      ...rootless,
      '--image',
      `${layoutDirectory}:v1`,
      bundle,
    ])
    const theirs = asOurs(factsOf(`${bundle}/rootfs`))
    expect(await ourTree(built, directory.file(`${number}.ours`)), `image ${number}`).toEqual(
      theirs,
    )
    seen.push(...Object.values(theirs))
  }
  expect(seen.length).toBeGreaterThan(300)
})

async function ourTree(built: Built, directory: string): Promise<Record<string, Fact>> {
  const root = `${directory}/root`
  mkdirSync(root, { recursive: true })
  for (const [digest, blob] of built.blobs) writeFileSync(`${directory}/${digestHex(digest)}`, blob)
  const manifest = parseManifest(built.manifest)
  if (manifest.kind !== 'manifest') throw new Error('Expected a manifest')
  const plan = layout(manifest, { unpack: 'auto', modes: 'keep' })
  const steps = plan.steps.map(({ blob, ...step }) => ({
    ...step,
    blobPath: `${directory}/${digestHex(blob.digest)}`,
  }))
  await buildTree({ ...plan, root, limits: DEFAULT_TREE_LIMITS, steps }, NEVER)
  return factsOf(root)
}

/** volumes.md "Modes": no setuid, setgid, sticky; no devices, FIFOs and sockets. */
function asOurs(theirs: Readonly<Record<string, Fact>>): Record<string, Fact> {
  const entries = Object.entries(withModes(theirs, (mode) => mode & 0o777))
  return Object.fromEntries(entries.filter(([, { kind }]) => kind !== 'other'))
}

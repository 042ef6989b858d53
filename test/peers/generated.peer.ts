import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fixedSeed } from '../differential/seed.ts'
import { artifact, type Built, directoryLayer, type Layer, load } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless, whyNoProgram } from '../support/skip-unless.ts'
import type { TarEntry } from '../support/tar.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { asOurs } from './as-ours.ts'
import { openOras } from './oras.ts'
import { listTree } from './tree-listing.ts'

const COUNT = 100
const why = (await whyNoProgram('go')) ?? (await whyNoMounts())

const name = fc.constantFrom('a', 'b', 'c.txt', 'é', '日本語', 'with space', 'n'.repeat(120), '..x')
const title = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
const content = fc.oneof(
  fc.constantFrom('', '#!/bin/sh\necho ran\n', '\x7fELF\x02\x01', 'x'.repeat(100_000)),
  fc.string({ maxLength: 300 }),
)
const mode = fc.constantFrom(0o644, 0o755, 0o600, 0o700, 0o4755, 0o666)
const mtime = fc.integer({ min: 1, max: 1_600_000_000 })

const file = fc.record({ kind: fc.constant('file'), title, content } as const)
const untitled = fc.record({ kind: fc.constant('untitled'), content } as const)
const directory = fc.record({
  kind: fc.constant('directory'),
  title,
  entries: fc.uniqueArray(fc.record({ path: name, content, mode, mtime, isLink: fc.boolean() }), {
    selector: ({ path }) => path,
    maxLength: 5,
  }),
} as const)

interface Generated {
  readonly built: Built
  /** Titles of the layers that are archives. */
  readonly directories: readonly string[]
}

const generated: fc.Arbitrary<Generated> = fc
  .array(fc.oneof(file, file, directory, untitled), { minLength: 1, maxLength: 6 })
  .map((drawn) => {
    const taken: string[] = []
    const directories: string[] = []
    const layers: Layer[] = [{ title: 'always', content: 'something to mount' }]
    for (const layer of drawn) {
      if (layer.kind === 'untitled') {
        layers.push({ mediaType: 'application/x-untitled', content: `untitled ${layer.content}` })
        continue
      }
      // Two layers in each other's way are refused by both, and another test's.
      const isInTheWay = (other: string) =>
        `${other}/`.startsWith(`${layer.title}/`) || `${layer.title}/`.startsWith(`${other}/`)
      if (taken.some(isInTheWay)) continue
      taken.push(layer.title)
      if (layer.kind === 'file') layers.push({ title: layer.title, content: layer.content })
      else {
        directories.push(layer.title)
        layers.push(
          directoryLayer(
            layer.title,
            layer.entries.map(({ isLink, ...entry }): TarEntry & { path: string } =>
              isLink
                ? { path: entry.path, type: 'symlink', linkname: 'a', mtime: entry.mtime }
                : entry,
            ),
          ),
        )
      }
    }
    return { built: artifact({ layers }), directories }
  })

test(`${COUNT} generated artifacts are mounted as oras pulls them (seed ${fixedSeed(COUNT).seed})`, async (context) => {
  skipUnless(context, why)
  const oras = await openOras()
  await using registry = await startRegistry()
  await using node = await startNode(registry)
  await using driver = await node.startDriver()
  let entries = 0
  for (const [number, { built, directories }] of fc.sample(generated, fixedSeed(COUNT)).entries()) {
    const repository = `acme/generated-${number}`
    load(registry, `${repository}:v1`, built)
    const reference = `${registry.host}/${repository}:v1`
    await using pulled = await temporaryDirectory()
    await oras.pull(reference, { directory: pulled.path })
    const request = await node.request(`pod-${number}`, reference)
    await driver.csi.nodePublishVolume(request)
    const ours = titledOnly(await listTree(request.target_path))
    await driver.csi.nodeUnpublishVolume(request)
    const theirs = await listTree(pulled.path)
    expect(ours, `artifact ${number}`).toEqual(asOurs(theirs, { directories }))
    entries += Object.keys(theirs).length
  }
  expect(entries).toBeGreaterThan(3 * COUNT)
})

/** volumes.md, rule "untitled, other": oras drops such layers silently, here they are files named after their digest. */
function titledOnly<T>(tree: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(
    Object.entries(tree).filter(([path]) => !/^sha256-[0-9a-f]{64}$/.test(path)),
  )
}

import { execFileSync } from 'node:child_process'
import { mkdirSync, statfsSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { digestOf } from '../../../../common/oci/digest.ts'
import {
  artifact,
  type Built,
  describe as descriptorOf,
  image,
  index,
  type Layer,
  manifestOf,
} from '../../../support/artifact.ts'
import { detach, whyNoMounts } from '../../../support/mounts.ts'
import { skipUnless } from '../../../support/skip-unless.ts'
import { tarOf } from '../../../support/tar.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'
import { type AttackedNode, startAttackedNode } from './attacked-node.ts'

const why = await whyNoMounts()
const KIB = 1024
const MIB = 1024 ** 2

/** Small, so that the archives that go beyond are, too. */
const ARGS = [
  '--max-decompressed-bytes=8Mi',
  '--max-decompression-ratio=100',
  '--decompression-ratio-from=1Mi',
  '--max-entries=100',
  '--max-path-bytes=200',
  '--max-path-depth=8',
  '--max-zstd-window=4Mi',
  '--max-manifest-bytes=64Ki',
  '--max-layers=20',
  '--max-index-depth=2',
]

let node: AttackedNode
beforeAll(async () => {
  if (why === undefined) node = await startAttackedNode({ args: ARGS })
})
afterAll(() => node?.[Symbol.asyncDispose]())

function archive(content: Uint8Array): Layer {
  return { content }
}

/** Bytes that compress a little, so that no ratio is in the way. */
function dense(bytes: number): Buffer {
  const block = Buffer.from(Array.from({ length: 64 * KIB }, (_, i) => (i * 2654435761) >>> 13))
  return Buffer.alloc(bytes, block)
}

const files = (count: number) => Array.from({ length: count }, (_, i) => ({ path: `f${i}` }))
const nested = (depth: number): Built =>
  depth === 0 ? artifact({ layers: [{ title: 'f', content: 'x' }] }) : index([nested(depth - 1)])

describe('an artifact beyond a limit', () => {
  test.for<[string, () => Built, string]>([
    [
      'of archives that decompress to too much, together',
      () =>
        artifact({
          layers: ['a', 'b', 'c'].map((path) =>
            archive(tarOf([{ path, content: dense(3 * MIB) }])),
          ),
        }),
      'RESOURCE_EXHAUSTED Cannot use "REF": cannot unpack layer HEX: the archives have more than 8388608 decompressed bytes (the limit --max-decompressed-bytes, which an admin can raise)',
    ],
    [
      'of zeros, compressed with gzip',
      () =>
        artifact({
          layers: [archive(gzipSync(tarOf([{ path: 'zeros', content: Buffer.alloc(4 * MIB) }])))],
        }),
      'RESOURCE_EXHAUSTED Cannot use "REF": cannot unpack layer HEX: the archive has more than 100 decompressed bytes for each of its 4159 compressed ones (the limit --max-decompression-ratio, which an admin can raise)',
    ],
    [
      'of zeros, compressed with zstd',
      () =>
        image({
          compression: 'zstd',
          layers: [tarOf([{ path: 'zeros', content: Buffer.alloc(4 * MIB) }])],
        }),
      'RESOURCE_EXHAUSTED Cannot use "REF": cannot unpack layer HEX: the archive has more than 100 decompressed bytes for each of its 209 compressed ones (the limit --max-decompression-ratio, which an admin can raise)',
    ],
    [
      'of zeros behind the end of the archive',
      () =>
        artifact({
          layers: [
            archive(gzipSync(Buffer.concat([tarOf([{ path: 'f' }]), Buffer.alloc(4 * MIB)]))),
          ],
        }),
      'RESOURCE_EXHAUSTED Cannot use "REF": cannot unpack layer HEX: the archive has more than 100 decompressed bytes for each of its 4151 compressed ones (the limit --max-decompression-ratio, which an admin can raise)',
    ],
    [
      'of entries',
      () => artifact({ layers: [archive(tarOf(files(60))), archive(tarOf(files(60)))] }),
      'RESOURCE_EXHAUSTED Cannot use "REF": cannot unpack layer HEX: entry "f40": the archives have more than 100 entries (the limit --max-entries, which an admin can raise)',
    ],
    [
      'of devices, which are left out and counted',
      () =>
        image({
          layers: [tarOf(files(101).map((entry) => ({ ...entry, type: 'fifo' as const })))],
        }),
      'RESOURCE_EXHAUSTED Cannot use "REF": cannot unpack layer HEX: entry "f100": the archives have more than 100 entries (the limit --max-entries, which an admin can raise)',
    ],
    [
      'of whiteouts',
      () => image({ layers: [tarOf(files(101).map(({ path }) => ({ path: `.wh.${path}` })))] }),
      'RESOURCE_EXHAUSTED Cannot use "REF": cannot unpack layer HEX: entry ".wh.f100": the archives have more than 100 entries (the limit --max-entries, which an admin can raise)',
    ],
    [
      'of the length of a name',
      () => artifact({ layers: [archive(tarOf([{ path: `${'n'.repeat(99)}/`.repeat(3) }]))] }),
      `RESOURCE_EXHAUSTED Cannot use "REF": cannot unpack layer HEX: entry "${'n'.repeat(99)}/${'n'.repeat(99)}/"...: its name is longer than 200 bytes (the limit --max-path-bytes, which an admin can raise)`,
    ],
    [
      'of the depth of a name',
      () => artifact({ layers: [archive(tarOf([{ path: 'a/b/c/d/e/f/g/h/i' }]))] }),
      'RESOURCE_EXHAUSTED Cannot use "REF": cannot unpack layer HEX: entry "a/b/c/d/e/f/g/h/i": its name is deeper than 8 directories (the limit --max-path-depth, which an admin can raise)',
    ],
    [
      'of the memory that zstd asks for',
      // A frame header alone: no content size, window descriptor of 2^23.
      () => artifact({ layers: [archive(Buffer.from('28b52ffd0068010000', 'hex'))] }),
      'RESOURCE_EXHAUSTED Cannot use "REF": cannot unpack layer HEX: cannot decompress zstd data: it needs a window of more than 4.0 MiB; compress it again without --long (the limit --max-zstd-window, which an admin can raise)',
    ],
    [
      'of the size of its manifest',
      () => artifact({ layers: [], annotations: { a: 'x'.repeat(64 * KIB) } }),
      'RESOURCE_EXHAUSTED Cannot pull "REF": manifest is larger than 65536 bytes (the limit --max-manifest-bytes, which an admin can raise)',
    ],
    [
      'of layers',
      () =>
        artifact({
          layers: Array.from({ length: 21 }, (_, i) => ({ title: `f${i}`, content: `${i}` })),
        }),
      'RESOURCE_EXHAUSTED Cannot use "REF": manifest.layers: 21 items, of 20 that are read (the limit --max-layers, which an admin can raise)',
    ],
    [
      'of manifests in its index',
      () =>
        index(
          Array.from({ length: 21 }, (_, i) =>
            artifact({ layers: [{ title: 'f', content: `${i}` }] }),
          ),
        ),
      'RESOURCE_EXHAUSTED Cannot use "REF": manifest.manifests: 21 items, of 20 that are read (the limit --max-layers, which an admin can raise)',
    ],
    [
      'of indexes within indexes',
      () => nested(3),
      'RESOURCE_EXHAUSTED Cannot use "REF": indexes are nested deeper than 2 (the limit --max-index-depth, which an admin can raise)',
    ],
  ])('%s is refused', async ([, make, message], context) => {
    skipUnless(context, why)
    expect(await node.refusal(make())).toBe(message)
  })

  test('and one just within each of them is served', async (context) => {
    skipUnless(context, why)
    const within = artifact({
      layers: [
        archive(gzipSync(tarOf([...files(98), { path: 'a/b/c/d/e/f/g/h' }]))),
        archive(gzipSync(tarOf([{ path: 'zeros', content: Buffer.alloc(MIB - 4 * KIB) }]))),
      ],
    })
    expect(Object.keys(await node.tree(index([within]))).length).toBe(1 + 98 + 8 + 1)
  })

  test('of gzip members has no limit and needs none: empty ones cost what their bytes cost', async (context) => {
    skipUnless(context, why)
    const empty = gzipSync('')
    const content = Buffer.concat([
      gzipSync(tarOf([{ path: 'f', content: 'x' }])),
      ...Array(100_000).fill(empty),
    ])
    expect(Object.keys(await node.tree(artifact({ layers: [archive(content)] })))).toEqual([
      '.',
      'f',
    ])
  })
})

describe('a blob', () => {
  test.for<[string, number, string | RegExp]>([
    [
      'longer than its descriptor says',
      5,
      'DATA_LOSS Cannot pull "REF": registry sends 10 bytes of blob sha256:HEX; expected 5',
    ],
    [
      'shorter than its descriptor says',
      20,
      'DATA_LOSS Cannot pull "REF": registry sends 10 bytes of blob sha256:HEX; expected 20',
    ],
    [
      'of 8 PiB that nobody has',
      2 ** 53 - 1,
      /^RESOURCE_EXHAUSTED Cannot pull "REF": it needs 8192\.0 TiB, and the node's file system has \d+\.\d [KMGT]iB free, [\d.]+ [KMGT]?i?B of unused artifacts that could be evicted, and \d+\.\d [KMGT]iB that must stay free \(the limit --min-free-bytes, which an admin can raise\); no pod of this node uses an artifact; free something, or give the store a larger file system$/,
    ],
  ])('%s is refused', async ([, size, message], context) => {
    skipUnless(context, why)
    const layer = { ...descriptorOf('text/plain', 'ten bytes.'), size }
    const annotations = { 'org.opencontainers.image.title': 'f' }
    const document = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: descriptorOf('application/vnd.oci.empty.v1+json', '{}'),
      layers: [{ ...layer, annotations }],
    }
    const answer = await node.refusal(manifestOf(document, undefined, ['{}', 'ten bytes.']))
    if (typeof message === 'string') expect(answer).toBe(message)
    else expect(answer).toMatch(message)
  })

  test('of other bytes than its digest says is refused', async (context) => {
    skipUnless(context, why)
    const attack = artifact({ layers: [{ title: 'f', content: 'what it should be' }] })
    const refusal = node.refusal((_, registry) => {
      const match = { path: new RegExp(digestOf('what it should be')), times: 1 }
      registry.fault(match, { kind: 'replace', content: 'what it mustnt be' })
      return attack
    })
    expect(await refusal).toBe(
      'DATA_LOSS Cannot pull "REF": the bytes of blob sha256:HEX hash to sha256:HEX',
    )
  })
})

describe('a small disk', () => {
  test('is not filled: the pull ends first, by bytes and by inodes, and serves what fits', async (context) => {
    skipUnless(context, why)
    await using directory = await temporaryDirectory()
    const disk = directory.file('disk')
    mkdirSync(disk)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32m,nr_inodes=1000', 'none', disk])
    try {
      await using small = await startAttackedNode({
        args: ['--store-directory', `${disk}/store`],
        storeDirectory: `${disk}/store`,
      })
      const big = Array.from({ length: 6 }, (_, i) => ({
        path: `f${i}`,
        content: Buffer.alloc(8 * MIB),
      }))
      const tooBig = artifact({ layers: [archive(gzipSync(tarOf(big), { level: 1 }))] })
      expect(await small.refusal(tooBig)).toMatch(
        /^RESOURCE_EXHAUSTED Cannot use "REF": cannot unpack layer HEX: the node's file system has 1\.\d MiB free, too little for \d+\.\d KiB more: 1\.6 MiB must stay free \(the limit --min-free-bytes, which an admin can raise\)$/,
      )
      const tooMany = artifact({ layers: [archive(gzipSync(tarOf(files(1500))))] })
      expect(await small.refusal(tooMany)).toMatch(
        /^RESOURCE_EXHAUSTED Cannot use "REF": cannot unpack layer HEX: entry "f\d+": the node's file system has [34]\d inodes free, and 50 must stay free \(the limit --min-free-inodes, which an admin can raise\)$/,
      )
      const { bfree, bsize, ffree } = statfsSync(disk)
      expect([bfree * bsize > 30 * MIB, ffree > 900]).toEqual([true, true])
      const fits = artifact({ layers: [archive(gzipSync(tarOf(files(500))))] })
      expect(Object.keys(await small.tree(fits)).length).toBe(501)
    } finally {
      await detach(disk)
    }
  })
})

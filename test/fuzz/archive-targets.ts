import { gzipSync, zstdCompressSync } from 'node:zlib'
import { decompress } from '../../driver/pull/tar/decompress.ts'
import { createTarReader } from '../../driver/pull/tar/tar-reader.ts'
import { DEFAULT_TREE_LIMITS } from '../../driver/pull/tree/tree-limits.ts'
import { ARCHIVES, hostileArchive, repairChecksums } from './archives.ts'
import type { FuzzTarget } from './fuzz-target.ts'
import type { Random } from './random.ts'

const COMPRESSED = ARCHIVES.flatMap((archive) => [
  gzipSync(archive),
  zstdCompressSync(archive),
  Buffer.concat([gzipSync(archive), gzipSync(''), gzipSync('x')]),
])

/** Pieces of an input, of random sizes. */
function* pieces(input: Uint8Array, random: Random): Generator<Uint8Array> {
  const longest = random.pick([1, 100, 512, 5_000, input.length + 1])
  for (let at = 0; at < input.length; ) {
    const length = 1 + random.integer(longest)
    yield input.subarray(at, at + length)
    at += length
  }
}

/** The readers of archives, on their own. */
export const ARCHIVE_TARGETS: readonly FuzzTarget[] = [
  {
    name: 'tar-reader',
    seeds: ARCHIVES,
    generate: hostileArchive,
    repair: repairChecksums,
    run(input, random) {
      let expected: number | undefined
      let total = 0
      const reader = createTarReader({
        entry({ size, type, mode }) {
          if (expected !== undefined) throw new Error('An entry within an entry')
          if (size < 0 || (type !== 'file' && size > 0)) throw new Error(`${type} of ${size} bytes`)
          if (mode !== (mode & 0o7777)) throw new Error(`Mode ${mode}`)
          expected = size
        },
        content(bytes) {
          total += bytes.length
          expected = (expected ?? Number.NaN) - bytes.length
          if (!(expected >= 0)) throw new Error('More content than the entry has')
        },
        entryEnd() {
          if (expected !== 0) throw new Error(`An end with ${expected} bytes to go`)
          expected = undefined
        },
      })
      for (const piece of pieces(input, random)) reader.push(piece)
      reader.end()
      if (expected !== undefined) throw new Error('An archive that ends within an entry')
      if (total > input.length) throw new Error('More content than input')
    },
  },
  {
    name: 'decompress',
    seeds: [...COMPRESSED, ...ARCHIVES],
    async run(input, random) {
      async function* source() {
        yield* pieces(input, random)
      }
      let total = 0
      for await (const chunk of decompress(source(), DEFAULT_TREE_LIMITS)) {
        total += chunk.length
        // The reader counts, too; a mutated length must not run on for gigabytes here.
        if (total > 64 * 1024 ** 2) return
      }
    },
  },
]

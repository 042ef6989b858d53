import { expect, test } from 'vitest'
import { parseFlags } from '../../common/flags.ts'
import { MANIFEST_LIMIT_FLAGS } from '../../common/oci/manifest.ts'
import { LIMIT_FLAGS, limitsOf } from '../../driver/limit-flags.ts'
import { DEFAULT_PULL_LIMITS } from '../../driver/pull/pull-limits.ts'
import { TREE_LIMIT_FLAGS } from '../../driver/pull/tree/tree-limits.ts'
import { thrownBy } from '../support/thrown.ts'

function read(...argv: readonly string[]) {
  const parsed = parseFlags({ usage: 'driver', flags: LIMIT_FLAGS, argv, env: {} })
  if (parsed.help) throw new Error('Expected values')
  return limitsOf(parsed.values)
}

test('the flags say what holds without them', () => {
  expect(read()).toEqual(DEFAULT_PULL_LIMITS)
})

test('every flag sets its own limit', () => {
  const flags = {
    'max-decompressed-bytes': '1Gi',
    'max-decompression-ratio': '2',
    'decompression-ratio-from': '3',
    'max-entries': '4',
    'max-path-bytes': '5',
    'max-path-depth': '6',
    'max-zstd-window': '8Mi',
    'max-manifest-bytes': '7',
    'max-layers': '8',
    'max-index-depth': '9',
    'max-stall': '10s',
    'min-free-bytes': '11',
    'min-free-inodes': '12',
  } satisfies Record<keyof typeof LIMIT_FLAGS, string>
  expect(read(...Object.entries(flags).map(([name, value]) => `--${name}=${value}`))).toEqual({
    tree: {
      decompressedBytes: 1024 ** 3,
      ratio: 2,
      ratioFreeBytes: 3,
      entries: 4,
      pathBytes: 5,
      depth: 6,
      zstdWindowBytes: 8 * 1024 ** 2,
      minFreeBytes: 11,
      minFreeInodes: 12,
    },
    manifest: { bytes: 7, children: 8 },
    indexDepth: 9,
    stallMs: 10_000,
  })
})

test('messages name flags that there are', () => {
  const named = [...Object.values(TREE_LIMIT_FLAGS), ...Object.values(MANIFEST_LIMIT_FLAGS)]
  expect(Object.keys(LIMIT_FLAGS)).toEqual(expect.arrayContaining(named))
})

test('a connection cannot be let stall for ever', () => {
  expect(thrownBy(() => read('--max-stall=0s'))).toBe(
    'INVALID Invalid --max-stall "0s": expected at least 1s',
  )
})

import { MAX_DEPTH, MAX_PATH_BYTES } from './tree-path.ts'

/** What a tree may cost. Plain data: it crosses to a worker thread. */
export interface TreeLimits {
  /** Of all archives of a tree together. */
  readonly decompressedBytes: number
  /** Decompressed bytes for each compressed one, for every archive. */
  readonly ratio: number
  /** What an archive may decompress to whatever its ratio. */
  readonly ratioFreeBytes: number
  /** Of all archives of a tree together. */
  readonly entries: number
  /** Of one name in an archive. */
  readonly pathBytes: number
  /** Components of one name in an archive. */
  readonly depth: number
  /** What a zstd archive may ask to remember of what was decompressed: memory of the driver. A power of two. */
  readonly zstdWindowBytes: number
  /** What stays free on the node's file system; of a small one, a twentieth. */
  readonly minFreeBytes: number
  readonly minFreeInodes: number
}

/** The flag that sets a limit, for messages; without its dashes. */
export const TREE_LIMIT_FLAGS = {
  decompressedBytes: 'max-decompressed-bytes',
  ratio: 'max-decompression-ratio',
  ratioFreeBytes: 'decompression-ratio-from',
  entries: 'max-entries',
  pathBytes: 'max-path-bytes',
  depth: 'max-path-depth',
  zstdWindowBytes: 'max-zstd-window',
  minFreeBytes: 'min-free-bytes',
  minFreeInodes: 'min-free-inodes',
} as const satisfies Record<keyof TreeLimits, string>

/**
 * What a tree may cost unless the admin says otherwise. gzip cannot exceed about 1032:1, so a much laxer ratio would never trip in time;
 * 128 MiB is the window that `zstd --ultra -22` needs, and `--long=31` would take 2 GiB of memory for each archive.
 */
export const DEFAULT_TREE_LIMITS: TreeLimits = {
  decompressedBytes: 100 * 1024 ** 3,
  ratio: 200,
  ratioFreeBytes: 256 * 1024 ** 2,
  entries: 1_000_000,
  pathBytes: MAX_PATH_BYTES,
  depth: MAX_DEPTH,
  zstdWindowBytes: 128 * 1024 ** 2,
  minFreeBytes: 1024 ** 3,
  minFreeInodes: 10_000,
}

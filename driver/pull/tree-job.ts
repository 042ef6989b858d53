import type { Digest } from '../../common/oci/digest.ts'
import type { Flavour, Modes } from './layout.ts'

/** What a tree may cost. A message about a limit names it as it is written here. */
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
}

/** One layer to place. Plain data: it crosses to a worker thread. */
export type TreeStep =
  | {
      readonly kind: 'link'
      /** Absolute path of the verified blob. Its mode is what the tree's file has. */
      readonly blobPath: string
      readonly path: string
    }
  | {
      readonly kind: 'unpack'
      readonly blobPath: string
      /** The directory that holds everything the archive contributes; `""` is the root. */
      readonly path: string
      /** Default `root`; see `PlanStep`. */
      readonly namesFrom?: 'root' | 'path'
      /** Of the decompressed bytes. */
      readonly contentDigest?: Digest
    }

/** A tree to build, once all its blobs are on disk. */
export interface TreeJob {
  /** Absolute path of an existing, empty directory that nobody else writes to. */
  readonly root: string
  readonly flavour: Flavour
  readonly modes: Modes
  readonly limits: TreeLimits
  readonly steps: readonly TreeStep[]
}

/** What a tree came to. */
export interface TreeSummary {
  /** Names of regular files: a file with two names counts twice. */
  readonly files: number
  /** Without the root. */
  readonly directories: number
  /** Symbolic links. */
  readonly links: number
  /** Content of the files, by name; what links to a blob included. */
  readonly bytes: number
}

/** What a builder asks now and then: an AbortSignal, or what stands for one in a thread. */
export type Cancellation = Pick<AbortSignal, 'throwIfAborted'>

import type { Modes } from '../../../common/composition/composition.ts'
import type { Digest } from '../../../common/oci/digest.ts'
import type { Flavour } from '../layout/layout-step.ts'
import type { Watermark } from '../watermark.ts'
import type { TreeLimits } from './tree-limits.ts'

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

/** A tree to build. */
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

/** A blob that is on its way: a file that grows, and how far it may be read. */
export interface IncomingBlob {
  /** Absolute; once the watermark says `complete`, the file may have moved to the blob's place in the store. */
  readonly path: string
  readonly watermark: Watermark
  /** Bytes of the whole. */
  readonly size: number
}

/**
 * Waits until there is something to read of a step's blob, by the step's place in the job: for a blob in the store, `here`; for an
 * archive, perhaps a download to follow.
 */
export type AwaitBlob = (step: number) => Promise<'here' | IncomingBlob>

/** What a builder asks now and then: an AbortSignal, or what stands for one in a thread. */
export type Cancellation = Pick<AbortSignal, 'throwIfAborted'>

import type { FetchedManifest } from '../../../common/oci/artifact-source.ts'
import type { Descriptor } from '../../../common/oci/descriptor.ts'
import type { Digest } from '../../../common/oci/digest.ts'
import type { Reference } from '../../../common/oci/reference.ts'
import type { DownloadOutcome } from '../download/download-message.ts'
import type { FailureData } from '../download/failure-data.ts'

/** What a reader process is asked of the layouts in its directory, one question at a time. */
export type ReaderRequest =
  | { readonly kind: 'resolve'; readonly reference: Reference }
  | { readonly kind: 'manifest'; readonly reference: Reference }
  /** A piece of a blob. */
  | {
      readonly kind: 'read'
      readonly reference: Reference
      readonly digest: Digest
      readonly offset: number
    }
  /** The whole of a blob, into an ingest file. */
  | {
      readonly kind: 'copy'
      readonly reference: Reference
      readonly descriptor: Descriptor
      readonly path: string
    }

/** What it says: `ready` once, when it has loaded; to each question any number of `copying`, then one of the others. */
export type ReaderReply =
  | { readonly kind: 'ready' }
  /** So many bytes are in the file: all told, and in order from its start. */
  | { readonly kind: 'copying'; readonly received: number; readonly prefix: number }
  | { readonly kind: 'failed'; readonly failure: FailureData }
  | ReaderAnswer

export type ReaderAnswer =
  | { readonly kind: 'resolved'; readonly descriptor: Descriptor }
  | {
      readonly kind: 'manifest'
      readonly fetched: Pick<FetchedManifest, 'descriptor' | 'bytes'>
    }
  /** Fewer than a piece: the end. */
  | { readonly kind: 'piece'; readonly bytes: Uint8Array }
  | { readonly kind: 'copied'; readonly outcome: DownloadOutcome }

/** A piece crosses by a socket, several times: it is for small blobs. */
export const PIECE_BYTES = 1024 * 1024

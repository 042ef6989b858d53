import type { Reach } from '../../../common/oci/address.ts'
import type { Digest } from '../../../common/oci/digest.ts'
import type { TlsSettings } from '../../../common/oci/hosts.ts'
import type { FailureData } from './failure-data.ts'
import type { IngestOptions } from './ingest.ts'

/** One blob that a thread downloads. */
export interface DownloadJob extends IngestOptions {
  /** Connections at most. */
  readonly maxConnections: number
}

/** How patient a thread is; it is handed over as its `workerData`. */
export interface DownloadTiming {
  /** A connection without a byte for this long is dropped. */
  readonly idleTimeoutMs: number
  /** Before a part is asked for again; twice as long each time that nothing came. */
  readonly retryBaseMs: number
}

/** A GET request as it goes out. The thread checks the address after it is resolved, and the certificate. */
export interface ThreadRequest {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly tls: TlsSettings
  readonly reach: Reach
  readonly dialTimeoutMs?: number
}

/** What an answer said, its body only if that is small and not the blob's. */
export interface ThreadAnswer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: Uint8Array
  /** Where the host is, when that was looked up for this request. */
  readonly reach: Reach | undefined
}

/** What the main thread says. `id` is a download, `part` one of its parts, `exchange` a request. Secrets cross here and nowhere else. */
export type DownloadCommand =
  | { readonly kind: 'begin'; readonly id: number; readonly job: DownloadJob }
  | { readonly kind: 'cancel'; readonly id: number }
  /** So many connections it may have. */
  | { readonly kind: 'grant'; readonly id: number; readonly connections: number }
  /** The server said that it is too much. */
  | { readonly kind: 'slow-down'; readonly id: number }
  | { readonly kind: 'request'; readonly exchange: number; readonly request: ThreadRequest }
  | { readonly kind: 'discard'; readonly exchange: number }
  /** The body of this exchange is the blob from `start` on, to where the answer ends. */
  | {
      readonly kind: 'accept'
      readonly id: number
      readonly part: number
      readonly exchange: number
      readonly start: number
      readonly end: number
    }
  | {
      readonly kind: 'refuse'
      readonly id: number
      readonly part: number
      readonly failure: FailureData
    }

/** What a thread says. */
export type DownloadReport =
  /** A part is wanted. With `sole`, nothing else is under way: it may take long, and be the whole blob where there are no ranges. */
  | {
      readonly kind: 'open'
      readonly id: number
      readonly part: number
      readonly start: number
      readonly end: number
      readonly sole: boolean
    }
  | { readonly kind: 'answer'; readonly exchange: number; readonly answer: ThreadAnswer }
  | { readonly kind: 'no-answer'; readonly exchange: number; readonly failure: FailureData }
  /** The full HTTP client has to look at this answer. */
  | { readonly kind: 'unfit'; readonly exchange: number; readonly reason: string }
  /** So many connections it would like to have, or needs no more than. */
  | { readonly kind: 'want'; readonly id: number; readonly connections: number }
  | { readonly kind: 'ended'; readonly id: number; readonly outcome: DownloadOutcome }

/** How a download ended. By then nobody writes to its file any more. */
export type DownloadOutcome =
  /** Everything is there, and its digest is right. */
  | { readonly kind: 'verified' }
  /** Nothing of it is left on disk. */
  | { readonly kind: 'wrong'; readonly digest: Digest; readonly resumed: boolean }
  /** What was got stays, unless the failure says that it is corrupt or that the disk is full. */
  | { readonly kind: 'failed'; readonly failure: FailureData; readonly resumed: boolean }
  | { readonly kind: 'cancelled' }

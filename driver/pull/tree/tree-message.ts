import type { ErrorCode } from '../../../common/errors.ts'
import type { ViewJob } from '../view/view-job.ts'
import type { IncomingBlob, TreeJob, TreeSummary } from './tree-job.ts'

/** What a thread shares with the pool; it is handed over as its `workerData`. */
export interface TreeWorkerData {
  /** 1 when the thread should drop its job. */
  readonly cancelled: Uint8Array
  /** The thread's note of its descriptors. */
  readonly descriptors: Uint8Array
}

/** A job for a worker. */
export type JobRequest =
  | {
      readonly kind: 'build'
      readonly job: TreeJob
      /** Whether blobs may be missing: each step then waits for its own. */
      readonly awaitsBlobs: boolean
    }
  | { readonly kind: 'view'; readonly job: ViewJob }

/** What a worker is told. */
export type TreeRequest =
  | JobRequest
  /** The answer to `await`. */
  | { readonly kind: 'blob'; readonly blob: 'here' | IncomingBlob }
  /** The job was cancelled: for a worker that waits for a message, and does not look at the flag. */
  | { readonly kind: 'stop' }

/** What a worker says: that it needs the blob of a step, or how its one job ended. */
export type TreeReply =
  | { readonly kind: 'await'; readonly step: number }
  | { readonly kind: 'built'; readonly summary: TreeSummary }
  | {
      readonly kind: 'failed'
      readonly code: ErrorCode
      readonly message: string
      /** Stack of the cause, for the log. */
      readonly cause?: string
      /** The file system was full. */
      readonly isOutOfSpace: boolean
    }

import type { ErrorCode } from '../../common/errors.ts'
import type { TreeSummary } from './tree-job.ts'

/** What a thread shares with the pool; it is handed over as its `workerData`. */
export interface TreeWorkerData {
  /** 1 when the thread should drop its job. */
  readonly cancelled: Uint8Array
  /** The thread's note of its descriptors. */
  readonly descriptors: Uint8Array
}

/** What a worker says: that it has loaded, or how its one job ended. */
export type TreeReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'built'; readonly summary: TreeSummary }
  | {
      readonly kind: 'failed'
      readonly code: ErrorCode
      readonly message: string
      /** Stack of the cause, for the log. */
      readonly cause?: string
    }

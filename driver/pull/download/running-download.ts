import { createWatermark, endWatermark, type Watermark } from '../watermark.ts'
import { type ByteCounter, createByteCounter } from './byte-counter.ts'

/** A download that can be read while it runs. */
export interface FollowableDownload {
  /**
   * The ingest file. It need not be there before the watermark tells of bytes, and is gone when the blob is in the store, where
   * its bytes then are. Whoever has it open reads on.
   */
  readonly path: string
  /**
   * How far it is. Ends `complete` when size and digest are right, just before the blob is in the store (at once when it was there
   * already); `failed` when the download failed, was cancelled, or begins again from nothing, in which case another watermark follows.
   */
  readonly watermark: Watermark
}

/** The same, for those who download. */
export interface RunningDownload extends FollowableDownload {
  /** Bytes on disk, those behind a gap too. */
  readonly received: ByteCounter
  /** Gives up what was read so far: the watermark fails, and a new one begins. */
  restart(): void
}

export function createRunningDownload(path: string): RunningDownload {
  let watermark = createWatermark()
  return {
    path,
    received: createByteCounter(),
    get watermark() {
      return watermark
    },
    restart() {
      endWatermark(watermark, 'failed')
      watermark = createWatermark()
    },
  }
}

/** How far a download is, in memory that threads share. Crosses to a thread as it is. */
export type Watermark = SharedArrayBuffer

/** `running`: more bytes may come; `complete`: all are there and their digest is right; `failed`: what is there must not be used. */
export type WatermarkState = 'running' | 'complete' | 'failed'

/** What a reader sees of a download at one moment. */
export interface WatermarkView {
  /** The first so many bytes are in the file, in order. Verified only when the state is `complete`. */
  readonly bytes: number
  readonly state: WatermarkState
}

const STATES: readonly WatermarkState[] = ['running', 'complete', 'failed']
/** Int32 each: the state, and a counter of changes to wait on (a wait on the bytes themselves could miss one). */
const STATE = 0
const CHANGES = 1
/** One BigInt64, behind the two. */
const BYTES_OFFSET = 8
const TOTAL_BYTES = 16

/** Makes the watermark of a download that has not begun: no bytes, `running`. */
export function createWatermark(): Watermark {
  return new SharedArrayBuffer(TOTAL_BYTES)
}

/** Says that the first `bytes` bytes are in the file; never fewer than before. */
export function advanceWatermark(watermark: Watermark, bytes: number): void {
  Atomics.store(new BigInt64Array(watermark, BYTES_OFFSET), 0, BigInt(bytes))
  announce(watermark)
}

/** Says how the download ended. Later calls change nothing: what failed once has been given up by its readers. */
export function endWatermark(
  watermark: Watermark,
  state: Exclude<WatermarkState, 'running'>,
): void {
  Atomics.compareExchange(new Int32Array(watermark), STATE, 0, STATES.indexOf(state))
  announce(watermark)
}

/** Looks without waiting. */
export function readWatermark(watermark: Watermark): WatermarkView {
  // The state first: bytes read after `complete` was seen are all of them.
  const state = STATES[Atomics.load(new Int32Array(watermark), STATE)] ?? 'failed'
  return { state, bytes: Number(Atomics.load(new BigInt64Array(watermark, BYTES_OFFSET), 0)) }
}

/**
 * Blocks the calling thread (never the main one) until more than `offset` bytes are there, the download has ended, or the time is over.
 *
 * @returns what is so then; a caller that has not got what it waits for looks whether it is cancelled, and calls again
 */
export function waitForWatermark(
  watermark: Watermark,
  offset: number,
  timeoutMs: number,
): WatermarkView {
  const cells = new Int32Array(watermark)
  const changes = Atomics.load(cells, CHANGES)
  const view = readWatermark(watermark)
  if (view.bytes > offset || view.state !== 'running') return view
  Atomics.wait(cells, CHANGES, changes, timeoutMs)
  return readWatermark(watermark)
}

function announce(watermark: Watermark): void {
  const cells = new Int32Array(watermark)
  Atomics.add(cells, CHANGES, 1)
  Atomics.notify(cells, CHANGES)
}

/** What a fuzzing thread is given. */
export interface FuzzTask {
  /** Of the module that exports `TARGETS`. */
  readonly targets: string
  readonly name: string
  readonly seed: number
  readonly seconds: number
  /** Absolute. */
  readonly directory: string
  /** Counts iterations; looked at by who watches for hangs. */
  readonly heartbeat: Int32Array
  /** The input that is being read. */
  readonly input: Uint8Array
  readonly inputLength: Int32Array
}

/** What a fuzzing thread says at its end. */
export type FuzzReply =
  | {
      readonly kind: 'done'
      readonly iterations: number
      /** How many inputs were refused, by code. */
      readonly refused: Readonly<Record<string, number>>
      /** How long the slowest input took, in milliseconds. */
      readonly slowestMs: number
    }
  | { readonly kind: 'fault'; readonly iterations: number; readonly error: string }

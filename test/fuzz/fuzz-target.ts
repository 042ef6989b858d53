import type { Random } from './random.ts'

/** Code that reads what strangers write, and what is fed to it. */
export interface FuzzTarget {
  readonly name: string
  /** Valid inputs, to be mutated. */
  readonly seeds: readonly Uint8Array[]
  /** Makes an input that is well-formed enough to get further than mutated bytes do. */
  readonly generate?: (random: Random) => Uint8Array
  /** Gives a mutated input what a reader checks first, e.g. a checksum; asked for half of them. */
  readonly repair?: (input: Buffer) => void
  /**
   * Feeds one input; `directory` is the target's own, empty at first, and on a fast file system. A CodedError is an answer; anything else that is thrown, a CodedError `INTERNAL` too, is a fault of the code.
   */
  run(input: Uint8Array, random: Random, directory: string): void | Promise<void>
}

import { CodedError } from '../../common/errors.ts'
import type { FuzzTarget } from './fuzz-target.ts'

const kept: Buffer[] = []

function broken(name: string, run: FuzzTarget['run']): FuzzTarget {
  return { name, seeds: [Buffer.from('seed')], run }
}

/** Readers with the faults that fuzzing is there to find. */
export const TARGETS: readonly FuzzTarget[] = [
  broken('fine', () => {
    throw new CodedError('INVALID', 'No')
  }),
  broken('foreign-error', (input) => {
    if (input.length > 20) throw new TypeError('Cannot read properties of undefined')
  }),
  broken('internal-error', (input) => {
    if (input.length > 20) throw new CodedError('INTERNAL', 'Unforeseen')
  }),
  broken('hang', (input) => {
    while (input.length > 20);
  }),
  broken('buffers', (input) => {
    kept.push(Buffer.alloc(1024 ** 2 * Math.min(1, input.length)))
  }),
  broken('heap', (input) => {
    const all: string[][] = []
    while (input.length > 20) all.push(Array<string>(10_000).fill(String(all.length)))
  }),
]

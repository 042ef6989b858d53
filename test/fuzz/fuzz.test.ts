import { expect, test } from 'vitest'
import { fuzzTarget } from './fuzz.ts'
import { mutate } from './mutation.ts'
import { createRandom } from './random.ts'

const targets = new URL('./broken-targets.ts', import.meta.url).href

test('a reader that refuses with errors of ours is fine', async () => {
  const result = await fuzzTarget({ targets, name: 'fine', seed: 1, seconds: 0.1 })
  expect(result).toEqual({
    kind: 'done',
    iterations: expect.any(Number),
    refused: { INVALID: result.iterations },
    slowestMs: expect.any(Number),
  })
  expect(result.iterations).toBeGreaterThan(10)
})

test.for([
  ['foreign-error', /^TypeError: Cannot read properties of undefined/],
  ['internal-error', /^CodedError: Unforeseen/],
  ['hang', /^It has read one input for more than 300 ms$/],
  ['buffers', /^It holds \d+ bytes in buffers$/],
  ['heap', /^The thread died: .*memory limit/],
] as const)('a reader with the fault "%s" is found out', async ([name, error]) => {
  const hangMs = name === 'hang' ? 300 : 20_000
  const result = await fuzzTarget({ targets, name, seed: 1, seconds: 20, hangMs })
  expect(result).toMatchObject({ kind: 'fault', error: expect.stringMatching(error) })
  if (result.kind === 'fault' && name !== 'buffers') expect(result.input.length).toBeGreaterThan(20)
})

test('the same seed mutates the same input to the same bytes', () => {
  const run = () => {
    const random = createRandom(7)
    return Array.from({ length: 50 }, () => mutate(Buffer.from('seed'), Buffer.from('x'), random))
  }
  expect(run()).toEqual(run())
  expect(new Set(run().map((bytes) => bytes.toString('hex'))).size).toBeGreaterThan(40)
})

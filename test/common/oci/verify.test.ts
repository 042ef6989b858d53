import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CodedError, isCodedError } from '../../../common/errors.ts'
import { digestOf } from '../../../common/oci/digest.ts'
import { verified } from '../../../common/oci/verify.ts'
import { collect } from './artifact-source.conformance.ts'

async function* inChunks(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0
  for (let turn = 0; at < bytes.length; turn++) {
    const next = Math.min(bytes.length, at + (sizes[turn % sizes.length] ?? 1))
    yield bytes.subarray(at, next)
    at = next
  }
}

const SIZES = fc
  .array(fc.nat({ max: 20 }), { minLength: 1, maxLength: 5 })
  .filter((sizes) => sizes.some((size) => size > 0))
const BYTES = fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes))

test('however bytes are cut, the right ones pass and no others do (property)', async () => {
  await fc.assert(
    fc.asyncProperty(
      BYTES,
      BYTES,
      SIZES,
      fc.constantFrom('sha256', 'sha512'),
      async (wanted, sent, sizes, algorithm) => {
        const descriptor = {
          mediaType: 'a/b',
          digest: digestOf(wanted, algorithm),
          size: wanted.length,
          annotations: {},
        }
        const expectation = { descriptor, offset: 0, subject: 'Cannot pull', sender: 'test' }
        const right = await collect(verified(inChunks(wanted, sizes), expectation))
        expect([right.bytes.equals(wanted), right.error]).toStrictEqual([true, undefined])
        fc.pre(!sent.equals(wanted))
        const wrong = await collect(verified(inChunks(sent, sizes), expectation))
        expect(isCodedError(wrong.error, 'CORRUPT')).toBe(true)
        // Who counts bytes must not take a wrong blob for a complete one.
        expect(wrong.bytes.length).toBeLessThan(Math.max(1, wanted.length))
      },
    ),
  )
})

test('what came before a connection broke is passed on, however little', async () => {
  const bytes = Buffer.from('0123456789')
  const descriptor = { mediaType: 'a/b', digest: digestOf(bytes), size: 10, annotations: {} }
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, 3)
    throw new Error('connection reset')
  }
  const expectation = { descriptor, offset: 0, subject: 'Cannot pull', sender: 'test' }
  const { bytes: passed, error } = await collect(verified(broken(), expectation))
  expect([passed.toString(), error]).toEqual(['012', new Error('connection reset')])
})

test('too few bytes are refused where no hash could say so: at the end of a blob whose beginning is here', async () => {
  const bytes = Buffer.from('0123456789')
  const descriptor = { mediaType: 'a/b', digest: digestOf(bytes), size: 10, annotations: {} }
  let shorts = 0
  const onShort = () => {
    shorts += 1
  }
  const expectation = { descriptor, offset: 4, subject: 'Cannot pull', sender: 'test', onShort }
  const few = await collect(verified(inChunks(bytes.subarray(4, 9), [2]), expectation))
  const message = `Cannot pull: test sent 9 of the 10 bytes of blob ${descriptor.digest}`
  expect([few.bytes.toString(), few.error]).toEqual(['45678', new CodedError('CORRUPT', message)])
  expect(shorts).toBe(1)

  const all = await collect(verified(inChunks(bytes.subarray(4), [2]), expectation))
  expect([all.bytes.toString(), all.error, shorts]).toEqual(['456789', undefined, 1])
})

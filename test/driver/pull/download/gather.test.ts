import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createGather } from '../../../../driver/pull/download/gather.ts'

test('bytes come out as they went in, in fewer chunks', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 30 }),
      fc.integer({ min: 1, max: 64 }),
      async (chunks, roomBytes) => {
        const out: Buffer[] = []
        const gather = createGather(Buffer.alloc(roomBytes), (chunk) =>
          out.push(Buffer.from(chunk)),
        )
        for (const chunk of chunks) gather.take(chunk)
        // Nothing is kept beyond a turn of the event loop.
        await new Promise((resolve) => setImmediate(resolve))
        expect(Buffer.concat(out)).toEqual(Buffer.concat(chunks))
        expect(out.slice(0, -1).every(({ length }) => length === roomBytes)).toBe(true)
      },
    ),
  )
})

test('what there is can be had at once', () => {
  const out: string[] = []
  const gather = createGather(Buffer.alloc(8), (chunk) => out.push(chunk.toString()))
  gather.flush()
  gather.take(Buffer.from('abc'))
  gather.flush()
  gather.flush()
  expect(out).toEqual(['abc'])
})

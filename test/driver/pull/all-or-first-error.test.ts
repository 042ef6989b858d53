import { expect, test } from 'vitest'
import { allOrFirstError } from '../../../driver/pull/all-or-first-error.ts'

const never = new AbortController().signal

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('aborted', { cause: signal.reason })))
  })
}

test('the first failure ends the others, and is what is thrown', async () => {
  const events: string[] = []
  const work = allOrFirstError(never, [
    async (signal) => {
      await untilAborted(signal).catch(() => events.push('slow one ended'))
      throw new Error('late')
    },
    async () => {
      events.push('one failed')
      throw new Error('missing blob')
    },
  ])
  await expect(work).rejects.toThrow('missing blob')
  expect(events).toEqual(['one failed', 'slow one ended'])
})

test('the outer signal reaches every piece', async () => {
  const controller = new AbortController()
  const work = allOrFirstError(controller.signal, [untilAborted, untilAborted])
  const outcome = expect(work).rejects.toMatchObject({ cause: { message: 'time is up' } })
  controller.abort(new Error('time is up'))
  await outcome
})

test('nothing to do is done', () => allOrFirstError(never, []))

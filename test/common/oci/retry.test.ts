import { describe, expect, test } from 'vitest'
import { parseRetryAfter, RequestFailure } from '../../../common/oci/request-failure.ts'
import { type RetryOptions, withRetry } from '../../../common/oci/retry.ts'

function failure(retryAfterMs?: number): RequestFailure {
  return new RequestFailure('UNAVAILABLE', 'registry answered 503', {
    transient: true,
    retryAfterMs,
  })
}

/** Fails as often as it is told, and records the waits. */
function scripted(failures: readonly unknown[], options: RetryOptions = {}) {
  const waits: number[] = []
  let made = 0
  const controller = new AbortController()
  const run = () =>
    withRetry(
      async () => {
        const error = failures[made++]
        if (error !== undefined) throw error
        return 'done'
      },
      controller.signal,
      {
        random: () => 1,
        sleep: async (ms) => {
          waits.push(ms)
        },
        ...options,
      },
    )
  return { run, waits, controller, made: () => made }
}

describe('withRetry', () => {
  test('waits longer each time', async () => {
    const { run, waits } = scripted([failure(), failure(), failure(), failure()])
    expect(await run()).toBe('done')
    expect(waits).toStrictEqual([200, 400, 800, 1600])
  })

  test('spreads its waits by half', async () => {
    const { run, waits } = scripted([failure(), failure()], { random: () => 0 })
    await run()
    expect(waits).toStrictEqual([100, 200])
  })

  test('gives up after five requests, with the last failure', async () => {
    const last = failure()
    const { run, waits, made } = scripted([failure(), failure(), failure(), failure(), last])
    await expect(run()).rejects.toBe(last)
    expect([made(), waits.length]).toStrictEqual([5, 4])
  })

  test('honours Retry-After up to a minute, and not below its own wait', async () => {
    const { run, waits } = scripted([failure(3000), failure(3_600_000), failure(0)])
    await run()
    expect(waits).toStrictEqual([3000, 60_000, 800])
  })

  test.each([new RequestFailure('NOT_FOUND', 'registry has no manifest'), new TypeError('a bug')])(
    'does not try again what will not pass: %s',
    async (error) => {
      const { run, made } = scripted([error])
      await expect(run()).rejects.toBe(error)
      expect(made()).toBe(1)
    },
  )

  test('a fired signal ends a wait with its own reason', async () => {
    const reason = new Error('pod deleted')
    const controller = new AbortController()
    const promise = withRetry(() => Promise.reject(failure()), controller.signal, {
      baseMs: 1e6,
      onRetry: () => queueMicrotask(() => controller.abort(reason)),
    })
    await expect(promise).rejects.toBe(reason)
  })
})

test.each([
  ['7', 7000],
  [' 7 ', 7000],
  ['Thu, 01 Jan 1970 00:01:00 GMT', 59_000],
  ['Thu, 01 Jan 1960 00:01:00 GMT', 0],
  ['-5', undefined],
  ['soon', undefined],
  [undefined, undefined],
])('Retry-After %s', (text, expected) => {
  expect(parseRetryAfter(text, 1000)).toBe(expected)
})

import { expect, test } from 'vitest'
import { RequestFailure } from '../../../common/oci/request-failure.ts'
import { createSilence } from '../../../common/oci/silence.ts'

const TIMED_OUT = new RequestFailure('UNAVAILABLE', 'no byte for 30 s', {
  transient: true,
  cause: new Error('headers timeout'),
})
const ANSWERED_503 = new RequestFailure('UNAVAILABLE', 'registry answered 503', { transient: true })

/** A host whose attempts take time by a clock of the test. */
function quietHost(patienceMs = 60_000) {
  let now = 0
  let made = 0
  const silence = createSilence({ patienceMs, nowMs: () => now })
  const attempt = async (tookMs: number, failure?: RequestFailure) => {
    made += 1
    now += tookMs
    if (failure !== undefined) throw failure
    return 'answer'
  }
  return {
    pass: (ms: number) => {
      now += ms
    },
    made: () => made,
    silence,
    ask: (tookMs: number, failure?: RequestFailure, host = 'r.example') =>
      silence
        .through(host, () => attempt(tookMs, failure))
        .catch((error: unknown) => (error instanceof Error ? error.message : 'no error')),
  }
}

test('a host that has not answered for as long as somebody may wait is left alone for a while', async () => {
  const host = quietHost()
  expect(await host.ask(30_000, TIMED_OUT)).toBe('no byte for 30 s')
  expect(await host.ask(30_000, TIMED_OUT)).toBe('no byte for 30 s')
  host.pass(3_000)
  const remembered =
    'no byte for 30 s; after 60 s without an answer this is remembered, and it is asked again in 7 s'
  expect(await host.ask(0)).toBe(remembered)
  expect(host.made()).toBe(2)
  expect(await host.ask(0, undefined, 'other.example')).toBe('answer')
})

test('after that one attempt tries whether it is back, alone', async () => {
  const host = quietHost()
  await host.ask(60_000, TIMED_OUT)
  host.pass(10_000)
  const trying = Promise.withResolvers<string>()
  const first = host.silence.through('r.example', () => trying.promise)
  expect(await host.ask(0)).toMatch(/asked again soon$/)
  trying.resolve('back')
  expect(await first).toBe('back')
  expect(await host.ask(0)).toBe('answer')
})

test('and when it is not, it is left alone at once', async () => {
  const host = quietHost()
  await host.ask(60_000, TIMED_OUT)
  host.pass(10_000)
  expect(await host.ask(1, TIMED_OUT)).toBe('no byte for 30 s')
  expect(await host.ask(0)).toMatch(/asked again in 10 s$/)
})

test.for([
  ['a success', undefined],
  ['a refusal', new RequestFailure('UNAUTHENTICATED', 'registry answered 401', { refused: true })],
  ['being overloaded', ANSWERED_503],
] as const)('%s is an answer', async ([, failure]) => {
  const host = quietHost()
  await host.ask(59_000, TIMED_OUT)
  await host.ask(0, failure)
  await host.ask(59_000, TIMED_OUT)
  expect(await host.ask(0)).toBe('answer')
})

test('a host that breaks connections at once is not silent', async () => {
  const host = quietHost()
  for (let time = 0; time < 100; time += 1) {
    await host.ask(0, TIMED_OUT)
    host.pass(3_000)
  }
  expect(await host.ask(0)).toBe('answer')
})

test('attempts side by side wait once', async () => {
  const host = quietHost()
  const gate = Promise.withResolvers<string>()
  const waiting = Array.from({ length: 8 }, () =>
    host.silence.through('r.example', () => gate.promise).catch(() => 'failed'),
  )
  host.pass(30_000)
  gate.reject(TIMED_OUT)
  expect(await Promise.all(waiting)).toEqual(Array(8).fill('failed'))
  expect(await host.ask(0)).toBe('answer')
})

test('what is no failure of a request says nothing of the host', async () => {
  const host = quietHost()
  await host.ask(60_000, TIMED_OUT)
  host.pass(10_000)
  const cancelled = new Error('cancelled')
  await expect(
    host.silence.through('r.example', async () => {
      throw cancelled
    }),
  ).rejects.toBe(cancelled)
  // The next one tries.
  expect(await host.ask(0)).toBe('answer')
})

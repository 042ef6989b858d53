import { once } from 'node:events'
import { request as httpsRequest } from 'node:https'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { controllerMadePod, podReview } from '../support/admission-review.ts'
import { openApiServer } from '../support/api-server.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { poll } from '../support/poll.ts'
import { startProcess, withMessage } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { fingerprintOf, mountSecret, NAMES, shownBy, swapSecret } from './serving-certificate.ts'

const authority = await createCertificateAuthority()
const review = podReview(
  controllerMadePod({
    annotations: { 'oras.land/artifacts': '/app: ghcr.io/acme/app:v1' },
    spec: { containers: [{ name: 'java' }] },
  }),
)

/** Starts the real `webhook/main.ts` and waits until it serves. */
async function started(options: { readonly grace: string }) {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  const pair = await authority.issue({ names: NAMES })
  await mountSecret(directory.path, pair)
  const process = stack.use(
    startProcess({
      args: [
        'webhook/main.ts',
        '--listen=127.0.0.1:0',
        '--health-listen=127.0.0.1:0',
        `--certificate-directory=${directory.path}`,
        `--shutdown-grace=${options.grace}`,
      ],
    }),
  )
  const { json } = await process.waitForLine(withMessage('serving'))
  const port = Number(json?.['port'])
  const healthPort = Number(json?.['healthPort'])
  const api = stack.use(openApiServer({ url: `https://127.0.0.1:${port}`, ca: authority.cert }))
  const readiness = async () => {
    const answer = await fetch(`http://127.0.0.1:${healthPort}/readyz`)
    return [answer.status, await answer.text()]
  }
  const parts = stack.move()
  return {
    process,
    directory,
    port,
    pair,
    api,
    readiness,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  }
}

describe('webhook/main.ts', () => {
  test('reviews over TLS, and logs one line for it', async () => {
    await using webhook = await started({ grace: '0s' })
    expect(await webhook.readiness()).toStrictEqual([200, 'ok\n'])
    const { response } = await webhook.api.mutate('/mutate', review)
    expect(response).toMatchObject({ allowed: true, patchType: 'JSONPatch' })
    const { json } = await webhook.process.waitForLine(withMessage('review'))
    expect(json).toMatchObject({
      level: 'info',
      name: 'oras-csi-webhook',
      namespace: 'default',
      owner: 'ReplicaSet/app-5d89bdfbc9',
      result: 'patched',
    })
  })

  test('takes up a renewed certificate without failing a review', async () => {
    await using webhook = await started({ grace: '0s' })
    expect(await shownBy(webhook.port, authority.cert)).toBe(fingerprintOf(webhook.pair))
    const next = await authority.issue({ names: NAMES })
    const changed = webhook.process.waitForLine(withMessage('certificate changed'))
    const stop = new AbortController()
    const reviews = reviewUntil(webhook.api, stop.signal)
    await swapSecret(webhook.directory.path, next, 2)
    await changed
    stop.abort()
    expect(await reviews).toBeGreaterThan(0)
    expect(await shownBy(webhook.port, authority.cert)).toBe(fingerprintOf(next))
  })

  test('serves on after SIGTERM, closing connections, until the grace period is over', async () => {
    // Longer than ten handshakes take on a busy machine.
    await using webhook = await started({ grace: '8s' })
    await webhook.api.review('/mutate', review)
    webhook.process.kill('SIGTERM')
    await webhook.process.waitForLine(withMessage('draining'))
    expect(await webhook.readiness()).toStrictEqual([503, 'draining\n'])
    for (let count = 0; count < 10; count += 1) {
      const answer = await webhook.api.post('/mutate', JSON.stringify(review))
      expect([answer.status, answer.headers['connection']]).toStrictEqual([200, 'close'])
    }
    expect(await webhook.process.exited).toStrictEqual({ code: 0, signal: null })
    expect(webhook.process.lines.at(-1)?.json).toMatchObject({ msg: 'stopped' })
  })

  test('answers a review that was under way when it stopped listening', async () => {
    await using webhook = await started({ grace: '0s' })
    const body = JSON.stringify(review)
    const slow = httpsRequest({
      host: '127.0.0.1',
      port: webhook.port,
      path: '/mutate',
      method: 'POST',
      ca: authority.cert,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    })
    slow.write(body.slice(0, 10))
    const [socket] = await once(slow, 'socket')
    await once(socket, 'secureConnect')
    // A review on another connection after it: by then the server has read the head of the slow one.
    await webhook.api.review('/mutate', review)
    webhook.process.kill('SIGTERM')
    await poll(
      async () => {
        const refused = await shownBy(webhook.port, authority.cert).catch(() => true)
        return refused === true
      },
      { deadlineMs: 10_000, what: 'the end of listening' },
    )
    const answered = once(slow, 'response')
    slow.end(body.slice(10))
    const [response] = await answered
    expect(JSON.parse(await text(response))).toMatchObject({ response: { allowed: true } })
    expect(await webhook.process.exited).toStrictEqual({ code: 0, signal: null })
  })

  test.each<[string, string[], string]>([
    [
      'an unknown flag',
      ['--certificate-dir=/x'],
      'Unknown flag "--certificate-dir"; did you mean "certificate-directory"? (--help lists them)',
    ],
    [
      'a malformed address',
      ['--listen=9443'],
      'Invalid --listen "9443": expected HOST:PORT or :PORT, e.g. ":9443"',
    ],
    [
      'a malformed duration',
      ['--shutdown-grace=15'],
      'Invalid --shutdown-grace "15": expected a number and a unit: ms, s, m or h, e.g. "15s"',
    ],
  ])('refuses %s', async (_name, flags, message) => {
    await using process = startProcess({ args: ['webhook/main.ts', ...flags] })
    expect(await process.exited).toStrictEqual({ code: 2, signal: null })
    expect(process.output()).toBe(`stderr: ${message}`)
  })

  test('says which certificate is missing, and exits with 1', async () => {
    await using directory = await temporaryDirectory()
    await using process = startProcess({
      args: [
        'webhook/main.ts',
        '--listen=127.0.0.1:0',
        '--health-listen=127.0.0.1:0',
        `--certificate-directory=${directory.path}`,
      ],
    })
    expect(await process.exited).toStrictEqual({ code: 1, signal: null })
    expect(process.lines.at(-1)?.json).toMatchObject({
      level: 'error',
      error: { message: `Cannot read "${directory.file('tls.crt')}": ENOENT` },
    })
  })
})

/** Reviews one pod after the other, and counts; throws when one fails. */
async function reviewUntil(
  api: ReturnType<typeof openApiServer>,
  signal: AbortSignal,
): Promise<number> {
  let count = 0
  while (!signal.aborted) {
    await api.review('/mutate', review)
    count += 1
  }
  return count
}

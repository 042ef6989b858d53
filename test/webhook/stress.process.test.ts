import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { controllerMadePod, podReview } from '../support/admission-review.ts'
import type { ApiServer } from '../support/api-server.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { sampleOf, scrape } from '../support/metrics.ts'
import { withMessage } from '../support/process.ts'
import { openTcp, openTls, postHead, type Target } from './raw-client.ts'
import { NAMES, swapSecret } from './serving-certificate.ts'
import { startedWebhook } from './started-webhook.ts'

const TIMEOUT_MS = 120_000
const CLIENTS = 64
const MIB = 1024 * 1024
// `resources.limits.memory` in manifests/base/webhook.yaml.
const POD_LIMIT_MIB = 384
const authority = await createCertificateAuthority()
const REVIEW = podReview(
  controllerMadePod({
    annotations: { 'oras.land/artifacts': '/app: ghcr.io/acme/app:v1' },
    spec: { containers: [{ name: 'java' }] },
  }),
)

/** Asks for so many reviews at once; each must get its patch. */
async function reviewAll(api: ApiServer, count: number): Promise<void> {
  const answers = await Promise.all(
    Array.from({ length: count }, () => api.review('/mutate', REVIEW)),
  )
  expect(answers.every(({ allowed, patch }) => allowed && patch !== undefined)).toBe(true)
  expect(answers).toHaveLength(count)
}

/** Opens so many hostile connections. Disposing ends them. */
async function hold(open: () => Promise<Socket>) {
  const sockets = await Promise.all(Array.from({ length: CLIENTS }, open))
  return {
    sockets,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** The most memory that a process ever had. */
async function peakMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024
}

const SLOW: Readonly<Record<string, (target: Target) => Promise<Socket>>> = {
  'that never begin a TLS handshake': openTcp,
  'that stop in the middle of a TLS handshake': async (target) => {
    const socket = await openTcp(target)
    // The head of a ClientHello of 512 bytes, and no more.
    socket.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]))
    return socket
  },
  'that send nothing after it': (target) => openTls(target),
  'that send a head byte by byte': async (target) => {
    const socket = await openTls(target)
    socket.write('POST /mutate HT')
    return socket
  },
  'that send a body of 8 MiB and stop before its end': async (target) => {
    const socket = await openTls(target)
    socket.write(postHead('/mutate', `content-length: ${8 * MIB}`))
    socket.write(' '.repeat(MIB))
    return socket
  },
  'that do not read their answers': async (target) => {
    const socket = await openTls(target)
    socket.pause()
    const body = JSON.stringify(REVIEW)
    const request = postHead('/mutate', `content-length: ${body.length}`) + body
    socket.write(request.repeat(20))
    return socket
  },
}

describe('the webhook under stress', { timeout: TIMEOUT_MS }, () => {
  test.each(Object.entries(SLOW))(
    `the attack: ${CLIENTS} clients %s hold up no review`,
    async (_name, open) => {
      await using webhook = await startedWebhook(authority, { connections: 8 })
      using _ = await hold(() => open(webhook.target))
      await reviewAll(webhook.api, 200)
      const metrics = await scrape(webhook.healthUrl)
      expect(sampleOf(metrics, 'oras_csi_webhook_connections')).toBeGreaterThanOrEqual(8)
    },
  )

  test(`the attack: ${CLIENTS} bodies of 8 MiB at once take no more memory than there is, and hold up no review`, async () => {
    await using webhook = await startedWebhook(authority, { connections: 8, isContained: true })
    using clients = await hold(() => openTls(webhook.target))
    // As many objects as a body may have, and a text for the rest of it.
    const parts = `[${'{},'.repeat(190_000)}`
    const body = Buffer.from(`${parts}"${'x'.repeat(8 * MIB - parts.length - 3)}"]`)
    const answers = clients.sockets.map(async (socket) => {
      const answer = new Promise((resolve) => {
        socket.once('data', (bytes) => resolve(String(bytes).slice(0, 'HTTP/1.1 503'.length)))
        socket.once('close', () => resolve('closed'))
      })
      socket.write(postHead('/mutate', `content-length: ${body.length}`))
      socket.write(body)
      return await answer
    })
    await reviewAll(webhook.api, 200)
    const statuses = new Set(await Promise.all(answers))
    // Some are read and found to be no review. Others are told to try again, if they still listen.
    expect(statuses).toContain('HTTP/1.1 400')
    expect(['HTTP/1.1 400', 'HTTP/1.1 503', 'closed']).toEqual(
      expect.arrayContaining([...statuses]),
    )
    expect(await peakMib(webhook.process.pid)).toBeLessThan(POD_LIMIT_MIB)
    // What was refused or read is given back.
    const answer = await webhook.api.post('/mutate', JSON.stringify(REVIEW).padEnd(8 * MIB))
    expect(answer.status).toBe(200)
  })

  test('a thousand reviews at once, over 250 connections, are all answered', async () => {
    await using webhook = await startedWebhook(authority, { connections: 250 })
    await reviewAll(webhook.api, 1_000)
    const metrics = await scrape(webhook.healthUrl)
    const patched = 'oras_csi_webhook_reviews_total{endpoint="/mutate",result="patched",reason=""}'
    expect(sampleOf(metrics, patched)).toBe(1_000)
    expect(sampleOf(metrics, 'oras_csi_webhook_dropped_connections_total')).toBe(0)
  })

  test('a certificate that is swapped breaks no connection, and new ones get it', async () => {
    await using webhook = await startedWebhook(authority)
    const body = JSON.stringify(REVIEW)
    const old = await openTls(webhook.target)
    const before = old.getPeerCertificate().fingerprint256
    const ask = async () => {
      const answer = once(old, 'data')
      old.write(postHead('/mutate', `content-length: ${body.length}`) + body)
      return String(await answer)
    }
    expect(await ask()).toContain('HTTP/1.1 200')
    const changed = webhook.process.waitForLine(withMessage('certificate changed'), 60_000)
    const notAfter = new Date('2040-01-02T03:04:05Z')
    await swapSecret(webhook.directory.path, await authority.issue({ names: NAMES, notAfter }), 2)
    await changed
    expect(await ask()).toContain('HTTP/1.1 200')
    const next = await openTls(webhook.target)
    expect(next.getPeerCertificate().fingerprint256).not.toBe(before)
    const metrics = await scrape(webhook.healthUrl)
    const expiry = 'oras_csi_webhook_certificate_expiration_timestamp_seconds'
    expect(sampleOf(metrics, expiry)).toBe(notAfter.getTime() / 1_000)
    old.destroy()
    next.destroy()
  })

  test('no review fails while it is told to stop and its clients hear of that', async () => {
    await using webhook = await startedWebhook(authority, { grace: '8s', connections: 8 })
    // As endpoints do: while it is ready it gets reviews, some of them over new connections.
    let isReady = true
    let count = 0
    const reviewer = async () => {
      while (isReady) {
        await reviewAll(webhook.api, 1)
        count += 1
      }
    }
    const reviewers = Promise.all(Array.from({ length: 8 }, reviewer))
    while (count < 50) await delay(5)
    webhook.process.kill('SIGTERM')
    while (isReady) isReady = (await fetch(`${webhook.healthUrl}/readyz`)).ok
    const answer = await webhook.api.post('/mutate', JSON.stringify(REVIEW))
    expect([answer.status, answer.headers['connection']]).toStrictEqual([200, 'close'])
    await reviewers
    expect(await webhook.process.exited).toStrictEqual({ code: 0, signal: null })
  })
})

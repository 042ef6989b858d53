import { expect, test } from 'vitest'
import { controllerMadePod, podReview, workloadReview } from '../support/admission-review.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { sampleOf, scrape } from '../support/metrics.ts'
import { withMessage } from '../support/process.ts'
import { startedWebhook } from './started-webhook.ts'

const TIMEOUT_MS = 60_000
const authority = await createCertificateAuthority()
const spec = { containers: [{ name: 'java' }] }
const pod = (artifacts: string) =>
  podReview(controllerMadePod({ annotations: { 'oras.land/artifacts': artifacts }, spec }))

test('the webhook counts its reviews, and tells of its server', {
  timeout: TIMEOUT_MS,
}, async () => {
  await using webhook = await startedWebhook(authority)
  const { api } = webhook
  await api.review('/mutate', pod('/app: ghcr.io/acme/app:v1'))
  await api.review('/mutate', pod('/app: ghcr.io/acme/app:v1'))
  await api.review('/mutate', pod('/app: x'))
  await api.review('/mutate', podReview(controllerMadePod({ spec })))
  await api.post('/mutate', '{}')
  await api.post('/mutate?timeout=0.000001ms', JSON.stringify(pod('/app: x')))
  await api.post('/other', '{}')
  const template = { metadata: { annotations: { 'oras.land/artifacts': '/app: x' } }, spec }
  await api.review('/validate-workload', workloadReview('Deployment', { spec: { template } }))

  const families = await scrape(webhook.healthUrl)
  const count = (name: string) => sampleOf(families, `oras_csi_webhook_${name}`)
  const reviews = (endpoint: string, result: string, reason: string) =>
    count(`reviews_total{endpoint="${endpoint}",result="${result}",reason="${reason}"}`)
  expect(reviews('/mutate', 'patched', '')).toBe(2)
  expect(reviews('/mutate', 'allowed', '')).toBe(1)
  expect(reviews('/mutate', 'denied', 'INVALID')).toBe(2)
  expect(reviews('/mutate', 'error', 'INVALID')).toBe(1)
  expect(reviews('/validate-workload', 'denied', 'INVALID')).toBe(1)
  expect(reviews('/validate-workload', 'allowed', '')).toBe(0)
  expect(count('review_duration_seconds_count{endpoint="/mutate"}')).toBe(6)
  expect(count('review_duration_seconds_bucket{endpoint="/mutate",le="0.0005"}')).toBeDefined()
  expect(count('deadline_misses_total{endpoint="/mutate"}')).toBe(1)
  expect(count('deadline_misses_total{endpoint="/validate-workload"}')).toBe(0)
  expect(count('refused_requests_total{status="404"}')).toBe(1)
  expect(count('dropped_connections_total')).toBe(0)
  expect(count('connections')).toBeGreaterThanOrEqual(1)
  expect(count('certificate_expiration_timestamp_seconds')).toBeGreaterThan(Date.now() / 1_000)
})

test('the webhook tells of its process, as the driver does', { timeout: TIMEOUT_MS }, async () => {
  await using webhook = await startedWebhook(authority)
  const families = await scrape(webhook.healthUrl)
  expect(sampleOf(families, 'process_cpu_seconds_total')).toBeGreaterThan(0)
  expect(sampleOf(families, 'process_resident_memory_bytes')).toBeGreaterThan(20 * 1024 ** 2)
  expect(sampleOf(families, 'process_open_fds')).toBeGreaterThan(3)
  expect(sampleOf(families, 'process_start_time_seconds')).toBeLessThan(Date.now() / 1_000)
  const delays = families.get('oras_csi_event_loop_longest_delay_seconds')
  expect(delays?.type).toBe('histogram')
})

test('logs one line a review, without what strangers could have it do', {
  timeout: TIMEOUT_MS,
}, async () => {
  await using webhook = await startedWebhook(authority)
  const hostile = controllerMadePod({
    annotations: { 'oras.land/artifacts': '/app: ghcr.io/acme/app:v1' },
    spec: { containers: [{ name: 'java' }], volumes: [{ name: 'oras-app', emptyDir: {} }] },
  })
  const question = podReview(hostile, { namespace: 'a\u001B[31m\u202E', dryRun: true, uid: 'u-1' })
  const { status } = await webhook.api.review('/mutate', question)
  const line = await webhook.process.waitForLine(withMessage('review'))
  expect(line.json).toMatchObject({
    level: 'info',
    path: '/mutate',
    uid: 'u-1',
    namespace: 'a\\u{1B}[31m\\u{202E}',
    owner: 'ReplicaSet/app-5d89bdfbc9',
    dryRun: true,
    result: 'denied',
    code: 'CONFLICT',
    reason: status?.message,
    ms: expect.any(Number),
  })
  expect(line.text).not.toMatch(/system:serviceaccount|[\p{Cc}\p{Cf}]/u)
})

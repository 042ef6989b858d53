import { request as httpRequest } from 'node:http'
import { describe, expect, test } from 'vitest'
import { createLogger } from '../../common/log.ts'
import { startWebhook } from '../../webhook/webhook.ts'
import { controllerMadePod, podReview } from '../support/admission-review.ts'
import { openApiServer } from '../support/api-server.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { NAMES, writePair } from './serving-certificate.ts'

const ANY_PORT = { host: '127.0.0.1', port: 0 }
const MIB = 1024 * 1024
const authority = await createCertificateAuthority()
const pair = await authority.issue({ names: NAMES })
const log = createLogger({ name: 'test', level: 'silent' })

async function started() {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await temporaryDirectory())
  await writePair(directory.path, pair)
  const webhook = stack.use(
    await startWebhook({
      listen: ANY_PORT,
      healthListen: ANY_PORT,
      certificateDirectory: directory.path,
      shutdownGraceMs: 0,
      log,
    }),
  )
  const url = `https://127.0.0.1:${webhook.port}`
  const api = stack.use(openApiServer({ url, ca: authority.cert }))
  const parts = stack.move()
  return { webhook, api, [Symbol.asyncDispose]: () => parts.disposeAsync() }
}

const review = podReview(
  controllerMadePod({
    annotations: { 'oras.land/artifacts': '/app: ghcr.io/acme/app:v1' },
    spec: { containers: [{ name: 'java' }] },
  }),
)

describe('the webhook', () => {
  test('mutates a pod over verified TLS', async () => {
    await using subject = await started()
    const { object } = await subject.api.mutate('/mutate', review)
    expect(object).toMatchObject({
      spec: {
        containers: [{ name: 'java', volumeMounts: [{ name: 'oras-app', mountPath: '/app' }] }],
        volumes: [{ name: 'oras-app', csi: { driver: 'csi.oras.land' } }],
      },
    })
  })

  test('composes a pod with a key "__proto__", which is data', async () => {
    await using subject = await started()
    const body = JSON.stringify(review).replace(
      '"containers":',
      '"volumes":[{"name":"x","csi":{"volumeAttributes":{"__proto__":"y"}}}],"containers":',
    )
    const answer = await subject.api.post('/mutate', body)
    expect(JSON.parse(answer.body)).toMatchObject({ response: { allowed: true } })
  })

  test.each<[string, string, string, number, unknown]>([
    ['an unknown path', '/validate', '{}', 404, { message: 'No such path: POST /validate' }],
    ['no body', '/mutate', '', 400, { message: 'The body is not valid JSON' }],
    ['half a body', '/mutate', '{"kind":', 400, { message: 'The body is not valid JSON' }],
    [
      'a body that is no review',
      '/mutate',
      '{}',
      400,
      {
        message:
          'Cannot read the admission review: "apiVersion" is null; expected "admission.k8s.io/v1"',
      },
    ],
    [
      'a body of more than 8 MiB',
      '/mutate',
      ' '.repeat(8 * MIB + 1),
      413,
      { message: 'The body is too large; expected at most 8388608 bytes' },
    ],
  ])('answers %s without a stack trace', async (_name, path, body, status, expected) => {
    await using subject = await started()
    const answer = await subject.api.post(path, body)
    expect({ status: answer.status, body: JSON.parse(answer.body) }).toStrictEqual({
      status,
      body: expected,
    })
  })

  test('reads a body of just 8 MiB', async () => {
    await using subject = await started()
    const answer = await subject.api.post('/mutate', JSON.stringify(review).padEnd(8 * MIB))
    expect(answer.status).toBe(200)
  })

  test.each([
    ['/livez', 200, 'ok\n'],
    ['/readyz', 200, 'ok\n'],
    ['/mutate', 404, 'not found\n'],
  ])('answers %s on the health port in plain HTTP', async (path, status, text) => {
    await using subject = await started()
    const answer = await fetch(`http://127.0.0.1:${subject.webhook.healthPort}${path}`)
    expect([answer.status, await answer.text()]).toStrictEqual([status, text])
  })

  test('keeps a connection open longer than the API server does', async () => {
    await using subject = await started()
    const { headers } = await subject.api.post('/mutate', JSON.stringify(review))
    expect(headers['keep-alive']).toBe('timeout=120')
  })

  test('speaks no plain HTTP on the admission port', async () => {
    await using subject = await started()
    const error = await new Promise((resolve) => {
      httpRequest({ host: '127.0.0.1', port: subject.webhook.port, path: '/mutate' }, resolve)
        .once('error', resolve)
        .end()
    })
    expect(error).toBeInstanceOf(Error)
  })

  test('frees its ports when it cannot start', async () => {
    await using directory = await temporaryDirectory()
    await using other = await started()
    const start = (healthPort: number) =>
      startWebhook({
        listen: ANY_PORT,
        healthListen: { host: '127.0.0.1', port: healthPort },
        certificateDirectory: directory.path,
        shutdownGraceMs: 0,
        log,
      })
    await expect(start(other.webhook.healthPort)).rejects.toMatchObject({ code: 'EADDRINUSE' })
    await expect(start(0)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: `Cannot read "${directory.file('tls.crt')}": ENOENT`,
    })
  })
})

import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import {
  controllerMadePod,
  namedPod,
  podReview,
  workloadReview,
} from '../support/admission-review.ts'
import { openApiServer } from '../support/api-server.ts'
import { createCertificateAuthority } from '../support/certificates.ts'

const NAME = 'oras-csi-webhook.oras-csi.svc'
const PATCH = [{ op: 'add', path: '/spec/hostname', value: 'patched' }]

/** A webhook that answers with what `respond` makes of a request. */
async function startWebhook(respond: (uid: string) => object) {
  const authority = await createCertificateAuthority()
  const requests: { url: string | undefined; port: number | undefined }[] = []
  const server = createServer(
    await authority.issue({ names: [NAME] }),
    async (request, response) => {
      requests.push({ url: request.url, port: request.socket.remotePort })
      let body = ''
      for await (const chunk of request) body += chunk
      const { uid } = JSON.parse(body).request
      response.setHeader('content-type', 'application/json')
      response.end(
        JSON.stringify({
          apiVersion: 'admission.k8s.io/v1',
          kind: 'AdmissionReview',
          response: { uid, allowed: true, ...respond(uid) },
        }),
      )
    },
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    ca: authority.cert,
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64')

test('reviews go over one verified connection, with the time-out, and the patch is applied to a copy', async () => {
  await using webhook = await startWebhook(() => ({ patchType: 'JSONPatch', patch: base64(PATCH) }))
  await using apiServer = openApiServer({ ...webhook, serverName: NAME })
  const pod = controllerMadePod({ spec: { containers: [] } })
  const before = structuredClone(pod)
  for (const _ of [1, 2]) {
    const { object, response } = await apiServer.mutate('/mutate', podReview(pod))
    expect(object).toEqual({ ...pod, spec: { containers: [], hostname: 'patched' } })
    expect(response.allowed).toBe(true)
  }
  expect(pod).toEqual(before)
  expect(webhook.requests.map(({ url }) => url)).toEqual([
    '/mutate?timeout=5s',
    '/mutate?timeout=5s',
  ])
  expect(new Set(webhook.requests.map(({ port }) => port)).size).toBe(1)
})

test('a webhook whose certificate does not name it is not called', async () => {
  await using webhook = await startWebhook(() => ({}))
  await using apiServer = openApiServer(webhook)
  const pod = namedPod('a', { spec: {} })
  await expect(apiServer.review('/mutate', podReview(pod))).rejects.toMatchObject({
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
  })
  expect(webhook.requests).toEqual([])
})

test.each([
  [{ uid: 'other' }, /^expected response.uid="[-0-9a-f]{36}", got "other"$/],
  [{ patchType: 'JSONPatch' }, 'webhook returned response.patchType without response.patch'],
  [{ patch: base64(PATCH) }, 'webhook returned response.patch and invalid patchType undefined'],
])('the API server refuses the response %o', async (response, message) => {
  await using webhook = await startWebhook(() => response)
  await using apiServer = openApiServer({ ...webhook, serverName: NAME })
  const review = podReview(controllerMadePod({ spec: {} }))
  await expect(apiServer.review('/mutate', review)).rejects.toThrow(message)
})

test('a review says what the API server says: no name in a controller-made pod', () => {
  const made = podReview(controllerMadePod({ annotations: { a: 'b' }, spec: {} }), {
    namespace: 'team',
  })
  expect(made.request).toMatchObject({ namespace: 'team', operation: 'CREATE', oldObject: null })
  expect(made.request).not.toHaveProperty('name')
  expect(made.request.object).not.toHaveProperty('metadata.name')
  expect(made.request.object).toHaveProperty('metadata.generateName')
  expect(podReview(namedPod('a', { spec: {} })).request).toMatchObject({ name: 'a' })
  expect(workloadReview('CronJob', { metadata: { name: 'nightly' } }).request).toMatchObject({
    kind: { group: 'batch', version: 'v1', kind: 'CronJob' },
    resource: { group: 'batch', version: 'v1', resource: 'cronjobs' },
    name: 'nightly',
  })
})

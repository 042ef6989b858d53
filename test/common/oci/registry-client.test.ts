import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import type { Target } from '../../../common/oci/redirect.ts'
import { askAgain } from '../../../common/oci/registry-client.ts'
import type { HttpRequest } from '../../../common/oci/transport.ts'
import { PLAIN_HOST } from './hosts-fixture.ts'

test('a part that is asked for again takes the way of the first: through its proxy, no longer to connect', async () => {
  const sent: HttpRequest[] = []
  const transport = {
    idleTimeoutMs: 1_000,
    lastReach: () => undefined,
    proxyFor: () => undefined,
    send: async (request: HttpRequest) => {
      sent.push(request)
      const body = Object.assign(Readable.from([]), { dump: async () => {} })
      return { status: 206, header: () => undefined, body }
    },
  }
  const target: Target = {
    url: new URL('https://reg.example/v2/acme/app/blobs/x'),
    headers: { authorization: 'Bearer t', range: 'bytes=0-9' },
    tls: { ca: ['PEM'], verify: true },
    reach: 'private',
    dialTimeoutMs: 250,
    proxy: 'http://proxy.example:3128',
  }
  const signal = new AbortController().signal
  const endpoint = { ...PLAIN_HOST, base: 'https://reg.example/v2' }
  const request = {
    method: 'GET',
    reference: { registry: 'reg.example', repository: 'acme/app', tag: 'v1' },
    path: 'blobs/x',
    what: 'blob x',
    headers: { range: 'bytes=10-19' },
  } as const
  const exchange = await askAgain(transport, endpoint, target, request, signal)
  const again = { ...target, headers: { authorization: 'Bearer t', range: 'bytes=10-19' } }
  expect(sent).toStrictEqual([{ method: 'GET', ...again, signal }])
  expect(exchange?.target).toStrictEqual(again)
})

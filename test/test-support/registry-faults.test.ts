import { connect } from 'node:net'
import { Agent, request } from 'undici'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../common/oci/digest.ts'
import { artifact, load } from '../support/artifact.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'

const TEXT = 'hello world'
const PATH = `/v2/acme/app/blobs/${digestOf(TEXT)}`
const BLOBS = { method: 'GET', path: '/v2/*/blobs/*' }

async function registryWithBlob(): Promise<TestRegistry> {
  const registry = await startRegistry()
  load(registry, 'acme/app:v1', artifact({ layers: [{ title: 'hello.txt', content: TEXT }] }))
  return registry
}

/** Reads until the end, or the error, and gives what came until then. */
async function get(url: string, headers: Record<string, string> = {}) {
  const dispatcher = new Agent()
  let body = ''
  let status = 0
  let answered: Record<string, string | string[] | undefined> = {}
  let error: unknown
  try {
    const response = await request(url, { headers, dispatcher })
    status = response.statusCode
    answered = response.headers
    for await (const chunk of response.body) body += chunk
  } catch (failure) {
    error = failure instanceof Error && 'code' in failure ? failure.code : failure
  }
  await dispatcher.destroy()
  return { status, body, headers: answered, error }
}

/** Everything that comes over the connection. */
async function rawGet(registry: TestRegistry, path: string): Promise<string> {
  const socket = connect(registry.port, '127.0.0.1')
  socket.end(`GET ${path} HTTP/1.1\r\nhost: registry\r\nconnection: close\r\n\r\n`)
  return (await socket.setEncoding('latin1').toArray()).join('')
}

describe('a fault', () => {
  test('answers a status, headers and body as often as it is told, and then no more', async () => {
    await using registry = await registryWithBlob()
    const fault = registry.fault(
      { ...BLOBS, times: 2 },
      { kind: 'status', status: 429, headers: { 'retry-after': '3' }, body: 'slow down' },
    )
    for (const _ of [1, 2]) {
      const answer = await get(registry.url + PATH)
      expect(answer).toMatchObject({ status: 429, body: 'slow down' })
      expect(answer.headers['retry-after']).toBe('3')
    }
    expect(await get(registry.url + PATH)).toMatchObject({ status: 200, body: TEXT })
    expect(fault.hits).toBe(2)
    expect(registry.requests.map(({ status }) => status)).toEqual([429, 429, 200])
  })

  test('hits only what it matches, until it is removed', async () => {
    await using registry = await registryWithBlob()
    const fault = registry.fault(
      { method: 'GET', path: /\/blobs\//, where: (logged) => logged.range !== undefined },
      { kind: 'status', status: 500 },
    )
    const head = await request(registry.url + PATH, {
      method: 'HEAD',
      headers: { range: 'bytes=1-' },
    })
    expect(head.statusCode).toBe(206)
    expect((await get(registry.url + PATH)).status).toBe(200)
    expect((await get(`${registry.url}/v2/`, { range: 'bytes=1-' })).status).toBe(200)
    expect((await get(registry.url + PATH, { range: 'bytes=1-' })).status).toBe(500)
    fault.remove()
    expect((await get(registry.url + PATH, { range: 'bytes=1-' })).status).toBe(206)
  })

  test('corrupts one byte of the content, in a range too', async () => {
    await using registry = await registryWithBlob()
    registry.fault(BLOBS, { kind: 'corrupt', at: 6 })
    expect(await get(registry.url + PATH)).toMatchObject({ status: 200, body: 'hello vorld' })
    const range = await get(registry.url + PATH, { range: 'bytes=6-7' })
    expect(range).toMatchObject({ status: 206, body: 'vo' })
    expect((await get(registry.url + PATH, { range: 'bytes=0-5' })).body).toBe('hello ')
  })

  test('truncates the body: Content-Length is kept and the connection closed', async () => {
    await using registry = await registryWithBlob()
    registry.fault(BLOBS, { kind: 'truncate', afterBytes: 5 })
    const answer = await get(registry.url + PATH)
    expect(answer).toMatchObject({ status: 200, body: 'hello', error: 'UND_ERR_SOCKET' })
    expect(answer.headers['content-length']).toBe('11')
    expect(registry.requests[0]).toMatchObject({ status: 200, bytesSent: 5, ended: true })
  })

  test('resets the connection in the body', async () => {
    await using registry = await registryWithBlob()
    registry.fault(BLOBS, { kind: 'reset', afterBytes: 5 })
    expect(await get(registry.url + PATH)).toMatchObject({ error: 'ECONNRESET' })
    expect(registry.requests[0]).toMatchObject({ status: 200, bytesSent: 5, ended: true })
  })

  test('sends bytes after the body', async () => {
    await using registry = await registryWithBlob()
    registry.fault(BLOBS, { kind: 'surplus', bytes: 3 })
    expect(await rawGet(registry, PATH)).toMatch(
      /content-length: 11\r\n.*\r\n\r\nhello world\0\0\0$/is,
    )
  })

  test('sends no length', async () => {
    await using registry = await registryWithBlob()
    registry.fault(BLOBS, { kind: 'chunked' })
    const answer = await get(registry.url + PATH)
    expect(answer).toMatchObject({ status: 200, body: TEXT })
    expect([answer.headers['content-length'], answer.headers['transfer-encoding']]).toEqual([
      undefined,
      'chunked',
    ])
  })

  test.each([
    [-5, 'hello ', '6'],
    [3, `${TEXT}\0\0\0`, '14'],
  ])('resizes the body by %i with a consistent Content-Length', async (by, body, length) => {
    await using registry = await registryWithBlob()
    registry.fault(BLOBS, { kind: 'resize', by })
    const answer = await get(registry.url + PATH)
    expect(answer).toMatchObject({ status: 200, body, error: undefined })
    expect(answer.headers['content-length']).toBe(length)
  })

  test('replaces the content under its digest', async () => {
    await using registry = await registryWithBlob()
    registry.fault(BLOBS, { kind: 'replace', content: '<html>log in</html>' })
    expect(await get(registry.url + PATH)).toMatchObject({
      status: 200,
      body: '<html>log in</html>',
    })
  })

  test.each([
    [undefined, 'bytes 7-11/11'],
    ['bytes 0-3/4', 'bytes 0-3/4'],
  ])('sends a wrong Content-Range (%s)', async (value, header) => {
    await using registry = await registryWithBlob()
    registry.fault(BLOBS, { kind: 'content-range', ...(value !== undefined && { value }) })
    const answer = await get(registry.url + PATH, { range: 'bytes=6-' })
    expect(answer).toMatchObject({ status: 206, body: 'world' })
    expect(answer.headers['content-range']).toBe(header)
  })

  test('ignores the range', async () => {
    await using registry = await registryWithBlob()
    registry.fault(BLOBS, { kind: 'ignore-range' })
    const answer = await get(registry.url + PATH, { range: 'bytes=6-' })
    expect(answer).toMatchObject({ status: 200, body: TEXT })
    expect(answer.headers['content-range']).toBeUndefined()
  })

  test('redirects to another registry, with path and query, or to an exact URL', async () => {
    await using registry = await registryWithBlob()
    await using storage = await registryWithBlob()
    const fault = registry.fault(BLOBS, { kind: 'redirect', to: storage.url })
    const answer = await get(`${registry.url}${PATH}?ns=a`)
    expect([answer.status, answer.headers['location']]).toEqual([307, `${storage.url}${PATH}?ns=a`])
    expect((await get(String(answer.headers['location']))).body).toBe(TEXT)
    fault.remove()
    registry.fault(BLOBS, { kind: 'redirect', to: 'http://127.0.0.1:9/x?sig=1', status: 302 })
    const exact = await get(registry.url + PATH)
    expect([exact.status, exact.headers['location']]).toEqual([302, 'http://127.0.0.1:9/x?sig=1'])
  })

  test('resets the connection without an answer', async () => {
    await using registry = await registryWithBlob()
    registry.fault({ ...BLOBS, times: 1 }, { kind: 'disconnect' })
    expect(await get(registry.url + PATH)).toMatchObject({ status: 0, error: 'UND_ERR_SOCKET' })
    expect(registry.requests[0]).toMatchObject({ status: undefined, ended: true })
    expect((await get(registry.url + PATH)).status).toBe(200)
  })

  test('delays an answer and throttles a body', async () => {
    await using registry = await registryWithBlob()
    const delay = registry.fault(BLOBS, { kind: 'delay', ms: 60 })
    const began = performance.now()
    expect((await get(registry.url + PATH)).body).toBe(TEXT)
    // A lower bound only: that is what these two faults promise.
    expect(performance.now() - began).toBeGreaterThanOrEqual(59)
    delay.remove()
    registry.fault(BLOBS, { kind: 'throttle', bytesPerSecond: 100 })
    const throttled = performance.now()
    expect((await get(registry.url + PATH)).body).toBe(TEXT)
    expect(performance.now() - throttled).toBeGreaterThanOrEqual(90)
  })

  test('sends a wrong Docker-Content-Digest, or none', async () => {
    await using registry = await registryWithBlob()
    const url = `${registry.url}/v2/acme/app/manifests/v1`
    const wrong = registry.fault({}, { kind: 'digest-header', value: digestOf('other') })
    expect((await get(url)).headers['docker-content-digest']).toBe(digestOf('other'))
    wrong.remove()
    registry.fault({}, { kind: 'digest-header' })
    const answer = await get(url)
    expect([answer.status, answer.headers['docker-content-digest']]).toEqual([200, undefined])
  })

  test('replaces headers', async () => {
    await using registry = await registryWithBlob()
    registry.fault({}, { kind: 'headers', headers: { 'content-type': 'text/html' } })
    const answer = await get(`${registry.url}/v2/acme/app/manifests/v1`)
    expect(answer.headers['content-type']).toBe('text/html')
  })

  test('joins others on the same request', async () => {
    await using registry = await registryWithBlob()
    registry.fault(BLOBS, { kind: 'corrupt', at: 0 })
    registry.fault(BLOBS, { kind: 'truncate', afterBytes: 3 })
    expect(await get(registry.url + PATH)).toMatchObject({ body: 'iel', error: 'UND_ERR_SOCKET' })
  })
})

describe('a gate', () => {
  test('holds answers until it is released, and says when they arrived', async () => {
    await using registry = await registryWithBlob()
    const gate = registry.hold(BLOBS)
    const pending = [get(registry.url + PATH), get(registry.url + PATH)]
    await gate.arrived
    await gate.arrivedTimes(2)
    expect(registry.requests.map(({ status, ended }) => ({ status, ended }))).toEqual([
      { status: undefined, ended: false },
      { status: undefined, ended: false },
    ])
    expect((await get(`${registry.url}/v2/`)).status).toBe(200)
    gate.release()
    expect((await Promise.all(pending)).map(({ body }) => body)).toEqual([TEXT, TEXT])
    expect((await get(registry.url + PATH)).body).toBe(TEXT)
    expect(gate.arrivals).toBe(2)
  })

  test('stalls a body after so many bytes until it is released', async () => {
    await using registry = await registryWithBlob()
    using gate = registry.hold({ ...BLOBS, afterBytes: 5, times: 1 })
    const { body, statusCode } = await request(registry.url + PATH)
    const chunks = body[Symbol.asyncIterator]()
    expect([statusCode, String((await chunks.next()).value)]).toEqual([200, 'hello'])
    await gate.arrived
    expect(registry.requests[0]).toMatchObject({ status: 200, bytesSent: 5, ended: false })
    expect((await get(registry.url + PATH)).body).toBe(TEXT)
    gate.release()
    expect(String((await chunks.next()).value)).toBe(' world')
    expect((await chunks.next()).done).toBe(true)
  })

  test('sees that a client goes away', async () => {
    await using registry = await registryWithBlob()
    using gate = registry.hold({ ...BLOBS, afterBytes: 5 })
    const dispatcher = new Agent()
    const { body } = await request(registry.url + PATH, { dispatcher })
    const failed = body.text().catch((error) => error.code)
    await gate.arrived
    const ended = registry.requests[0]?.closed
    await dispatcher.destroy()
    expect(await failed).toBe('UND_ERR_DESTROYED')
    await ended
    expect(registry.requests[0]).toMatchObject({ bytesSent: 5, ended: true })
  })
})

import { once } from 'node:events'
import type { Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { createLogger } from '../../common/log.ts'
import { type ServerLimits, startAdmissionServer } from '../../webhook/server.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { poll } from '../support/poll.ts'
import { openTcp, openTls, postHead, untilClosed } from './raw-client.ts'
import { NAMES } from './serving-certificate.ts'

const MIB = 1024 * 1024
const authority = await createCertificateAuthority()
const pair = await authority.issue({ names: NAMES })

/** A server that echoes what it parsed. */
async function started(limits: Partial<ServerLimits> = {}) {
  const events: string[] = []
  const late: boolean[] = []
  const lines: string[] = []
  const server = await startAdmissionServer({
    listen: { host: '127.0.0.1', port: 0 },
    certificate: { ...pair, expires: new Date(), fingerprint: '' },
    reviewers: { '/mutate': (document) => ({ status: 200, body: { document } }) },
    observer: {
      answered: (path, _seconds, isLate) => {
        events.push(`answered ${path}`)
        late.push(isLate)
      },
      refused: (status) => events.push(`refused ${status}`),
      dropped: () => events.push('dropped'),
    },
    log: createLogger({
      name: 'test',
      level: 'info',
      destination: { write: (line: string) => lines.push(JSON.parse(line).reason) },
    }),
    limits,
  })
  return {
    ...{ server, events, late, lines },
    target: { port: server.port, ca: authority.cert },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

/** Sends text on a connection of its own, and gives status, headers and body of the answer. */
async function exchange(target: Awaited<ReturnType<typeof started>>['target'], text: string) {
  const socket = await openTls(target)
  const answer = untilClosed(socket)
  socket.write(text)
  const [head = '', body = ''] = (await answer).split('\r\n\r\n')
  return { status: Number(head.split(' ')[1]), head: head.toLowerCase(), body }
}

const post = (headers: string[], body = '{}', path = '/mutate') =>
  postHead(path, 'connection: close', ...headers, `content-length: ${body.length}`) + body

describe('startAdmissionServer', () => {
  test('answers a review', async () => {
    await using subject = await started()
    const { status, head, body } = await exchange(subject.target, post([], '{"a":1}'))
    expect([status, JSON.parse(body)]).toStrictEqual([200, { document: { a: 1 } }])
    expect(head).toContain('content-type: application/json')
    expect(subject.events).toStrictEqual(['answered /mutate'])
  })

  test.each<[string, string, number, string]>([
    ['another path', post([], '{}', '/other'), 404, 'No such path: POST /other'],
    ['a key of every object', post([], '{}', '/__proto__'), 404, 'No such path: POST /__proto__'],
    [
      'another method',
      'GET /mutate HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
      405,
      'Cannot GET /mutate: expected POST',
    ],
    [
      'another content type',
      'POST /mutate HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: text/yaml\r\ncontent-length: 2\r\n\r\n{}',
      415,
      'The content type is "text/yaml"; expected "application/json"',
    ],
    [
      'no content type',
      'POST /mutate HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}',
      415,
      'The content type is ""; expected "application/json"',
    ],
    [
      'a compressed body',
      post(['content-encoding: gzip']),
      415,
      'The body is encoded; expected no "Content-Encoding"',
    ],
    ['malformed JSON', post([], '{"a":'), 400, 'The body is not valid JSON'],
    [
      'the attack: a body that says it is larger than 8 MiB, before a byte of it is sent',
      postHead('/mutate', `content-length: ${8 * MIB + 1}`),
      413,
      'The body is too large; expected at most 8388608 bytes',
    ],
  ])('refuses %s', async (_name, text, status, message) => {
    await using subject = await started()
    const answer = await exchange(subject.target, text)
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.body).message).toContain(message)
    expect(subject.events).toContain(`refused ${status}`)
    if (status === 405) expect(answer.head).toContain('allow: post')
  })

  test('the attack: refused requests without number do not fill the log', async () => {
    await using subject = await started()
    for (let count = 0; count < 5; count += 1) await exchange(subject.target, post([], '{"a":'))
    await exchange(subject.target, post([], '{}', '/other'))
    expect(subject.events.filter((event) => event === 'refused 400')).toHaveLength(5)
    expect(subject.lines).toStrictEqual(['The body is not valid JSON', 'No such path: POST /other'])
  })

  test('the attack: bodies that stop one byte short of 8 MiB leave room for a large review', async () => {
    await using subject = await started()
    const large = post([], JSON.stringify('x'.repeat(600 * 1024)))
    const hostile: Socket[] = []
    // From an address of its own, and then from that of the API server.
    for (const from of ['127.0.0.2', '127.0.0.1']) {
      for (let count = 0; count < 6; count += 1) {
        const socket = await openTls({ ...subject.target, from })
        hostile.push(socket)
        socket.write(postHead('/mutate', `content-length: ${8 * MIB}`))
        await new Promise((resolve) => socket.write(' '.repeat(8 * MIB - 1), resolve))
      }
      expect(await exchange(subject.target, large)).toMatchObject({ status: 200 })
    }
    expect(subject.events).toContain('refused 503')
    for (const socket of hostile) socket.destroy()
  })

  test('the attack: a body without end is cut when it passes 8 MiB', async () => {
    await using subject = await started()
    const socket = await openTls(subject.target)
    const answer = untilClosed(socket)
    socket.write(postHead('/mutate', 'transfer-encoding: chunked'))
    const chunk = `100000\r\n${' '.repeat(MIB)}\r\n`
    const send = () => {
      if (socket.writable) socket.write(chunk, send)
    }
    send()
    expect(await answer).toMatch(/^HTTP\/1\.1 413 /)
    expect(subject.events).toContain('refused 413')
  })

  test('refuses a body that is no UTF-8', async () => {
    await using subject = await started()
    const socket = await openTls(subject.target)
    const answer = untilClosed(socket)
    socket.write(postHead('/mutate', 'connection: close', 'content-length: 3'))
    socket.write(Buffer.from([0x22, 0x80, 0x22]))
    expect(await answer).toContain('{"message":"The body is not valid UTF-8"}')
  })

  test('accepts a content type with parameters, in any case', async () => {
    await using subject = await started()
    const text = post([]).replace('application/json', 'Application/JSON; charset=utf-8')
    expect(await exchange(subject.target, text)).toMatchObject({ status: 200 })
  })

  test.each<[string, string, RegExp]>([
    ['what is no HTTP', 'hello\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['a head without end', `GET / HTTP/1.1\r\na: ${'x'.repeat(64 * 1024)}`, /^HTTP\/1\.1 431 /],
    [
      'two lengths of one body (request smuggling)',
      postHead('/mutate', 'content-length: 2', 'transfer-encoding: chunked'),
      /^HTTP\/1\.1 400 /,
    ],
  ])('closes a connection with %s', async (_name, text, expected) => {
    await using subject = await started()
    const socket = await openTls(subject.target)
    const answer = untilClosed(socket)
    socket.write(text)
    expect(await answer).toMatch(expected)
  })

  test('offers HTTP/1.1 alone, as the API server asks for', async () => {
    await using subject = await started()
    const socket = await openTls(subject.target, ['h2', 'http/1.1'])
    expect(socket.alpnProtocol).toBe('http/1.1')
    socket.destroy()
  })

  test.each<[string, string | undefined]>([
    ['never begins its handshake', undefined],
    ['never sends a request', ''],
    ['never ends its head', 'POST /mutate HTTP/1.1\r\nhost: '],
    ['never ends its body', postHead('/mutate', `content-length: ${MIB}`)],
  ])('the attack: a client that %s is cut off', async (_name, text) => {
    await using subject = await started({ headMs: 200, requestMs: 400 })
    const socket = await (text === undefined ? openTcp(subject.target) : openTls(subject.target))
    if (text) {
      socket.write(text)
      // Byte by byte: it is never silent.
      const trickle = setInterval(() => socket.write('x'), 20)
      socket.once('close', () => clearInterval(trickle))
    }
    await untilClosed(socket)
    await poll(async () => (await subject.server.connections()) === 0, {
      deadlineMs: 20_000,
      what: 'the end of the connection',
    })
  })

  test('the attack: a client that does not read its answers is cut off', async () => {
    await using subject = await started({ headMs: 200, requestMs: 400 })
    const socket = await openTls(subject.target)
    socket.pause()
    // More than the kernel takes for a client that does not read.
    const body = JSON.stringify('x'.repeat(7 * MIB))
    socket.write(postHead('/mutate', `content-length: ${body.length}`) + body)
    await poll(async () => (await subject.server.connections()) === 0, {
      deadlineMs: 20_000,
      what: 'the end of the connection',
    })
    socket.destroy()
  })

  test('ends, though a client holds its request open', async () => {
    const hour = 3_600_000
    const subject = await started({ headMs: hour, requestMs: hour, closeMs: 200 })
    const socket = await openTls(subject.target)
    socket.write(postHead('/mutate', 'content-length: 100'))
    await exchange(subject.target, post([]))
    await Promise.all([subject[Symbol.asyncDispose](), untilClosed(socket)])
    expect(subject.events).toContain('answered /mutate')
  })

  test('the attack: clients that take all connections lose the idle ones to the next client', async () => {
    await using subject = await started({ maxConnections: 6 })
    const idle = await Promise.all(Array.from({ length: 6 }, () => openTls(subject.target)))
    const answered = idle.map((socket) => new Promise((resolve) => socket.once('data', resolve)))
    for (const socket of idle) socket.write(post([]).replace('connection: close\r\n', ''))
    await Promise.all(answered)
    const closed = Promise.race(idle.map(untilClosed))
    expect(await exchange(subject.target, post([]))).toMatchObject({ status: 200 })
    await closed
    expect(subject.events).not.toContain('dropped')
    for (const socket of idle) socket.destroy()
  })

  test.each<[string, string | undefined, boolean]>([
    ['silent connections before the TLS handshake', undefined, true],
    ['silent connections after it', '', false],
    ['requests without an end', postHead('/mutate', 'content-length: 100'), true],
  ])(
    'the attack: %s of one client, twice as many as may be, lock out nobody',
    async (_name, text, isDropped) => {
      await using subject = await started({ maxConnections: 16 })
      const api = await openTls(subject.target)
      const review = async () => {
        const answer = once(api, 'data')
        api.write(post([]).replace('connection: close\r\n', ''))
        expect(String(await answer)).toMatch(/^HTTP\/1\.1 200 /)
      }
      const hostile: Socket[] = []
      for (let count = 0; count < 32; count += 1) {
        const from = { ...subject.target, from: '127.0.0.2' }
        const socket = await (text === undefined ? openTcp(from) : openTls(from))
        if (text) socket.write(text)
        hostile.push(socket)
        // A connection that was open before, and a new one.
        await review()
        expect(await exchange(subject.target, post([]))).toMatchObject({ status: 200 })
      }
      expect(await subject.server.connections()).toBeLessThanOrEqual(16)
      expect(subject.events.includes('dropped')).toBe(isDropped)
      for (const socket of [api, ...hostile]) socket.destroy()
    },
  )

  test('the attack: silent connections from the address that the API server has too (SNAT) lock out nobody', async () => {
    await using subject = await started({ maxConnections: 16 })
    const hostile: Socket[] = []
    for (let count = 0; count < 64; count += 1) hostile.push(await openTcp(subject.target))
    expect(await exchange(subject.target, post([]))).toMatchObject({ status: 200 })
    for (const socket of hostile) socket.destroy()
  })

  test('closes the oldest of the largest crowd where there are as many connections as there may be', async () => {
    await using subject = await started({ maxConnections: 4 })
    const silent = [await openTcp(subject.target), await openTcp(subject.target)]
    const others = [await openTls(subject.target), await openTls(subject.target)]
    const [oldest, younger] = silent
    others.push(await openTls(subject.target))
    if (oldest !== undefined) await untilClosed(oldest)
    expect([younger, ...others].map((socket) => socket?.destroyed)).toStrictEqual([
      ...Array.from({ length: 4 }, () => false),
    ])
    expect(subject.events).toStrictEqual(['dropped'])
    for (const socket of [...silent, ...others]) socket.destroy()
  })

  test('counts a review as late by its own deadline, and one whose client is gone', async () => {
    await using subject = await started()
    await exchange(subject.target, post([], '{}', '/mutate?timeout=30s'))
    await exchange(subject.target, post([], '{}', '/mutate?timeout=0.000001ms'))
    expect(subject.late).toStrictEqual([false, true])
    const socket = await openTls(subject.target)
    socket.write(postHead('/mutate?timeout=30s', 'content-length: 100'))
    socket.end()
    await poll(() => subject.late.length === 3, { deadlineMs: 20_000, what: 'the third' })
    expect(subject.late).toStrictEqual([false, true, true])
  })
})

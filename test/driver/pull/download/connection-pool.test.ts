import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import type { Target } from '../../../../common/oci/redirect.ts'
import { type Connection, UnfitAnswer } from '../../../../driver/pull/download/connection.ts'
import { createConnectionPool } from '../../../../driver/pull/download/connection-pool.ts'
import { poll } from '../../../support/poll.ts'

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello'

/** A server that answers each request of each connection as it is told, with the numbers of both. */
async function rawServer(answer: (socket: Socket, connection: number, request: number) => void) {
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer((socket) => {
    const connection = connections++
    let requests = 0
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => {
      if (bytes.includes('\r\n\r\n')) answer(socket, connection, requests++)
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const target: Target = {
    url: new URL(`http://127.0.0.1:${port}/x`),
    headers: {},
    tls: { ca: [], verify: true },
    reach: 'local',
  }
  return {
    target,
    sockets,
    get connections() {
      return connections
    },
    [Symbol.dispose]: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

function receive(connection: Connection): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    connection.receive({
      bytes: (chunk) => {
        text += chunk
      },
      end: () => resolve(text),
      broke: (error) => resolve(`${text} broke ${error}`),
    })
  })
}

const never = new AbortController().signal
const unheard = () => undefined

function newPool() {
  return createConnectionPool({ idleTimeoutMs: 5_000 })
}

async function exchange(pool: ReturnType<typeof newPool>, target: Target): Promise<string> {
  const { answer, connection } = await pool.ask(target, unheard, never)
  const body = answer.head.status === 200 ? await receive(connection) : answer.body.toString()
  pool.giveBack(connection)
  return `${answer.head.status} ${body}`
}

describe('a connection', () => {
  test('carries one exchange after another', async () => {
    using server = await rawServer((socket, _, request) =>
      socket.write(request === 1 ? 'HTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\nno' : OK),
    )
    using pool = newPool()
    expect(await exchange(pool, server.target)).toBe('200 hello')
    expect(await exchange(pool, server.target)).toBe('404 no')
    expect(await exchange(pool, server.target)).toBe('200 hello')
    expect(server.connections).toBe(1)
  })

  test.each([
    ['another authority', { tls: { ca: ['PEM'], verify: true } }],
    ['a certificate that is not checked', { tls: { ca: [], verify: false } }],
    ['another reach', { reach: 'private' }],
  ] as const)('is not shared with %s', async (_, other) => {
    const asked: number[] = []
    using server = await rawServer((socket, connection) => {
      asked.push(connection)
      socket.write(OK)
    })
    using pool = newPool()
    await exchange(pool, server.target)
    await exchange(pool, { ...server.target, ...other }).catch((error: unknown) => {
      // That one may not go to loopback at all.
      expect(error).toMatchObject({ code: 'ORAS_CSI_REFUSED_ADDRESS' })
    })
    expect(asked.filter((connection) => connection === 0).length).toBe(1)
  })

  test.each([
    ['says so', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello'],
    ['sends more than it said', `${OK}EXTRA`],
  ])('is closed after an answer when the server %s', async (_, answer) => {
    using server = await rawServer((socket) => socket.write(answer))
    using pool = newPool()
    expect(await exchange(pool, server.target)).toBe('200 hello')
    expect(await exchange(pool, server.target)).toBe('200 hello')
    expect(server.connections).toBe(2)
  })

  test('response splitting: what comes unasked is no answer to the next request', async () => {
    using server = await rawServer((socket) => socket.write(OK))
    using pool = newPool()
    await exchange(pool, server.target)
    const [socket] = server.sockets
    socket?.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nEVIL')
    await poll(() => socket?.destroyed === true || socket?.readableEnded === true, {
      // Before a connection is closed because it has rested for long enough.
      deadlineMs: 2_000,
      what: 'the connection to be closed',
    })
    expect(await exchange(pool, server.target)).toBe('200 hello')
    expect(server.connections).toBe(2)
  })

  test('that the server closes while it rests is replaced', async () => {
    using server = await rawServer((socket, connection, request) => {
      // As a server whose keep-alive time is over at just that moment.
      if (connection === 0 && request === 1) socket.resetAndDestroy()
      else socket.write(OK)
    })
    using pool = newPool()
    expect(await exchange(pool, server.target)).toBe('200 hello')
    expect(await exchange(pool, server.target)).toBe('200 hello')
    expect(server.connections).toBe(2)
  })

  test('that is new and breaks is not tried again here', async () => {
    using server = await rawServer((socket) => socket.resetAndDestroy())
    using pool = newPool()
    await expect(pool.ask(server.target, unheard, never)).rejects.toMatchObject({
      code: 'ECONNRESET',
    })
    expect(server.connections).toBe(1)
  })

  test('whose request is abandoned is closed', async () => {
    using server = await rawServer(() => undefined)
    using pool = newPool()
    const stop = new AbortController()
    const asked = pool.ask(server.target, unheard, stop.signal)
    const outcome = expect(asked).rejects.toThrow()
    await poll(() => server.sockets.size === 1, { deadlineMs: 5_000, what: 'the connection' })
    stop.abort()
    await outcome
    const [socket] = server.sockets
    await poll(() => socket?.destroyed === true || socket?.readableEnded === true, {
      deadlineMs: 5_000,
      what: 'the connection to be closed',
    })
    expect(server.connections).toBe(1)
  })
})

async function writeSlowly(socket: Socket, text: string): Promise<void> {
  socket.setNoDelay(true)
  for (const byte of text) {
    socket.write(byte)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('an answer', () => {
  test.each([
    ['of HTTP/1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello'],
    ['without a length', 'HTTP/1.1 200 OK\r\n\r\nhello'],
    ['in chunks', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'],
    ['of another protocol', 'SSH-2.0-OpenSSH_9.9\r\n\r\n'],
    ['with an interim one before it', `HTTP/1.1 103 Early Hints\r\n\r\n${OK}`],
  ])('%s is left to the full client', async (_, answer) => {
    using server = await rawServer((socket) => socket.write(answer))
    using pool = newPool()
    await expect(pool.ask(server.target, unheard, never)).rejects.toThrow(UnfitAnswer)
  })

  test('comes in as many pieces as it likes', async () => {
    using server = await rawServer((socket) => void writeSlowly(socket, OK))
    using pool = newPool()
    expect(await exchange(pool, server.target)).toBe('200 hello')
    expect(await exchange(pool, server.target)).toBe('200 hello')
    expect(server.connections).toBe(1)
  })

  test.each([
    [
      'is longer than 64 KiB',
      `HTTP/1.1 500 No\r\ncontent-length: 70000\r\n\r\n${'x'.repeat(70_000)}`,
    ],
    ['has no length', 'HTTP/1.1 500 No\r\n\r\nsomething'],
  ])('whose body %s and is no content is not read', async (_, answer) => {
    using server = await rawServer((socket) => socket.write(answer))
    using pool = newPool()
    expect(await exchange(pool, server.target)).toBe('500 ')
    expect(await exchange(pool, server.target)).toBe('500 ')
    expect(server.connections).toBe(2)
  })

  test('waits for its receiver, however long that takes, and nothing of it is lost', async () => {
    const size = 3_000_000
    using server = await rawServer((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`)
      socket.write(Buffer.alloc(size, 'abcdefg'))
    })
    using pool = newPool()
    const { connection } = await pool.ask(server.target, unheard, never)
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(await receive(connection)).toBe(Buffer.alloc(size, 'abcdefg').toString())
  })

  test('that breaks before its receiver comes is told to him', async () => {
    using server = await rawServer((socket) => {
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel')
    })
    using pool = newPool()
    const { connection } = await pool.ask(server.target, unheard, never)
    expect(await receive(connection)).toMatch(/^(hel)? broke undefined$/)
  })

  test('of nothing ends at once', async () => {
    using server = await rawServer((socket) =>
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'),
    )
    using pool = newPool()
    expect(await exchange(pool, server.target)).toBe('200 ')
    expect(await exchange(pool, server.target)).toBe('200 ')
    expect(server.connections).toBe(1)
  })
})

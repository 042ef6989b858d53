import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MAX_HEAD_BYTES, readResponseHead } from '../../../../driver/pull/download/response-head.ts'

const OK = 'HTTP/1.1 200 OK\r\n'

function read(text: string) {
  return readResponseHead(Buffer.from(text, 'latin1'))
}

describe('the head of an answer', () => {
  test('is read, and says where the body begins', () => {
    const text = `HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nX-A:  b c \r\nx-a: second\r\nContent-Range: bytes 0-4/9\r\n\r\nhello`
    expect(read(text)).toEqual({
      kind: 'head',
      head: {
        status: 206,
        headers: new Map([
          ['content-length', '5'],
          ['x-a', 'b c'],
          ['content-range', 'bytes 0-4/9'],
        ]),
        contentLength: 5,
        keepAlive: true,
        bytes: text.length - 5,
      },
    })
  })

  test.each([
    ['Connection: close', false],
    ['Connection: Keep-Alive', true],
    ['Connection: keep-alive, upgrade', false],
    ['X: y', true],
  ])('%s: another request may follow: %s', (header, keepAlive) => {
    expect(read(`${OK}${header}\r\n\r\n`)).toMatchObject({ kind: 'head', head: { keepAlive } })
  })

  test.each(['', 'HTTP/1.1 200', OK, `${OK}Content-Length: 1\r\n`, `${OK}\r`])(
    'needs more than %j',
    (text) => {
      expect(read(text)).toEqual({ kind: 'partial' })
    },
  )

  test.each([
    ['HTTP/1.0 200 OK', 'not an HTTP/1.1 status line'],
    ['HTTP/2 200', 'not an HTTP/1.1 status line'],
    ['HTTP/1.1 20 OK', 'not an HTTP/1.1 status line'],
    ['HTTP/1.1  200 OK', 'not an HTTP/1.1 status line'],
    ['ICY 200 OK', 'not an HTTP/1.1 status line'],
    ['HTTP/1.1 600 Odd', 'not an HTTP/1.1 status line'],
    ['HTTP/1.1 100 Continue', 'interim answer'],
    ['HTTP/1.1 103 Early Hints', 'interim answer'],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked', 'transfer encoding'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: identity', 'transfer encoding'],
    ['HTTP/1.1 200 OK\r\nContent-Encoding: gzip', 'content encoding'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5', 'two headers content-length'],
    ['HTTP/1.1 200 OK\r\nContent-Range: a\r\ncontent-range: b', 'two headers content-range'],
    ['HTTP/1.1 200 OK\r\nContent-Length: +5', 'malformed length'],
    ['HTTP/1.1 200 OK\r\nContent-Length: -5', 'malformed length'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 5, 5', 'malformed length'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 0x5', 'malformed length'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 1234567890123456', 'malformed length'],
    ['HTTP/1.1 200 OK\r\nContent-Length : 5', 'malformed header'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n folded', 'malformed header'],
    ['HTTP/1.1 200 OK\r\nno colon', 'malformed header'],
    ['HTTP/1.1 200 OK\r\nX: a\0b', 'malformed header'],
    ['HTTP/1.1 200 OK\r\nX: a\nContent-Length: 5', 'malformed header'],
    ['HTTP/1.1 200 OK\r\nX: a\rContent-Length: 5', 'malformed header'],
    ['HTTP/1.1 200 OK\r\n: empty', 'malformed header'],
    [`HTTP/1.1 200 OK\r\nX: ${'a'.repeat(MAX_HEAD_BYTES)}`, 'head too large'],
  ])('%j is not taken: %s', (text, reason) => {
    expect(read(`${text}\r\n\r\n`)).toEqual({ kind: 'unfit', reason })
  })

  test('does not end for ever: more than 64 KiB without an end is not taken', () => {
    expect(readResponseHead(Buffer.alloc(MAX_HEAD_BYTES - 1, 'a'))).toEqual({ kind: 'partial' })
    expect(readResponseHead(Buffer.alloc(MAX_HEAD_BYTES, 'a'))).toEqual({
      kind: 'unfit',
      reason: 'head too large',
    })
  })
})

const pieces = fc.array(
  fc.oneof(
    fc.constantFrom('HTTP/1.1 ', '200', '206', ' OK', '\r\n', '\r\n\r\n', '\n', ':', ' ', '\0'),
    fc.constantFrom('Content-Length', 'Content-Range', 'Transfer-Encoding', '5', 'chunked', 'é'),
    fc.string({ unit: 'binary', maxLength: 5 }),
  ),
  { maxLength: 30 },
)

test('whatever comes: it never throws, and what it takes is exact', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
        pieces.map((parts) => Buffer.from(parts.join(''), 'latin1')),
        pieces.map((parts) => Buffer.from(`${OK}${parts.join('')}\r\n\r\n`, 'latin1')),
      ),
      (bytes) => {
        const result = readResponseHead(bytes)
        if (result.kind !== 'head') return
        const { head } = result
        expect(bytes.subarray(head.bytes - 4, head.bytes).toString()).toBe('\r\n\r\n')
        expect(head.status).toBeGreaterThanOrEqual(200)
        expect(head.contentLength ?? 0).toBeLessThan(1e15)
        expect(head.headers.has('transfer-encoding')).toBe(false)
        // One byte less is not enough, whatever follows changes nothing.
        expect(readResponseHead(bytes.subarray(0, head.bytes - 1)).kind).toBe('partial')
        expect(readResponseHead(bytes.subarray(0, head.bytes))).toEqual(result)
      },
    ),
    { numRuns: 5_000 },
  )
})

import type { ServerResponse } from 'node:http'
import type { Answer } from './answer.ts'
import { CHUNK_BYTES, type Content } from './content.ts'
import type { Delivery } from './faults.ts'
import type { OpenRequest } from './request-log.ts'

/** Sends an answer, whole or the range that was asked for, in the way that `delivery` says. */
export async function deliver(
  response: ServerResponse,
  request: OpenRequest,
  answer: Answer,
  delivery: Delivery,
): Promise<void> {
  const { content } = answer
  if (content === undefined) {
    request.status = answer.status
    response.writeHead(answer.status, answer.headers).end()
    return
  }
  const part = partOf(request, answer, content, delivery)
  request.status = part.status
  response.writeHead(part.status, {
    ...answer.headers,
    ...(delivery.chunked !== true && { 'content-length': String(part.end - part.start) }),
    ...part.headers,
  })
  if (request.method === 'HEAD') {
    response.end()
    return
  }
  response.flushHeaders()
  const complete = await sendBody(response, request, content, part, delivery)
  if (complete) response.end(Buffer.alloc(delivery.surplusBytes ?? 0))
  else if (delivery.reset) response.socket?.resetAndDestroy()
  // Half-closes after what was written: the peer gets all of it, and then the end of the connection.
  else response.socket?.destroySoon()
}

interface Part {
  readonly status: number
  readonly start: number
  readonly end: number
  readonly headers: Readonly<Record<string, string>>
}

function partOf(request: OpenRequest, answer: Answer, content: Content, delivery: Delivery): Part {
  const whole = { status: answer.status, start: 0, end: content.size, headers: {} }
  if (answer.status !== 200 || answer.headers['accept-ranges'] !== 'bytes') return whole
  if (request.range === undefined || delivery.ignoreRange) return whole
  const ifRange = request.headers['if-range']
  const { etag } = answer.headers
  if (ifRange !== undefined && ifRange !== etag) return whole
  const range = parseRange(request.range, content.size)
  if (range === 'malformed') return whole
  if (range === 'unsatisfiable') {
    return {
      status: 416,
      start: 0,
      end: 0,
      headers: { 'content-range': `bytes */${content.size}` },
    }
  }
  const correct = `bytes ${range.start}-${range.end - 1}/${content.size}`
  return {
    status: 206,
    ...range,
    headers: { 'content-range': delivery.contentRange?.(correct) ?? correct },
  }
}

/** `bytes=5-9`, `bytes=5-` or `bytes=-5`; several ranges are not served, as the RFC allows. @see RFC 9110 section 14.2 */
function parseRange(
  text: string,
  size: number,
): { start: number; end: number } | 'malformed' | 'unsatisfiable' {
  const match = /^bytes=([0-9]*)-([0-9]*)$/.exec(text)
  if (match === null || (match[1] === '' && match[2] === '')) return 'malformed'
  if (match[1] === '') {
    const length = Math.min(Number(match[2]), size)
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size }
  }
  const start = Number(match[1])
  const end = match[2] === '' ? size : Math.min(Number(match[2]) + 1, size)
  if (start >= size) return 'unsatisfiable'
  return start < end ? { start, end } : 'malformed'
}

/** @returns false when the delivery says that the connection breaks here, or when it is gone */
async function sendBody(
  response: ServerResponse,
  request: OpenRequest,
  content: Content,
  part: Part,
  delivery: Delivery,
): Promise<boolean> {
  const limit = Math.min(part.end - part.start, delivery.disconnectAfterBytes ?? part.end)
  const stops = delivery.pauses
    .map((pause) => ({ ...pause, at: Math.min(pause.afterBytes, limit) }))
    .sort((one, other) => one.at - other.at)
  const gone = new Promise<void>((resolve) => {
    if (response.destroyed) resolve()
    else response.once('close', resolve)
  })
  const began = performance.now()
  for (let sent = 0; ; ) {
    while (stops[0] !== undefined && stops[0].at <= sent) {
      await Promise.race([stops.shift()?.until(), gone])
    }
    if (response.destroyed) return false
    if (sent >= limit) break
    await pace(sent, began, delivery.bytesPerSecond)
    const next = Math.min(sent + chunkBytes(delivery.bytesPerSecond), stops[0]?.at ?? limit, limit)
    const chunk = content.slice(part.start + sent, part.start + next)
    request.bytesSent += chunk.length
    if (!response.write(chunk)) await Promise.race([drained(response), gone])
    sent = next
  }
  return limit === part.end - part.start && delivery.disconnectAfterBytes === undefined
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    response.once('drain', resolve)
  })
}

// Twenty chunks a second: the rate that a client sees is smooth, and short bodies are throttled too.
function chunkBytes(bytesPerSecond: number | undefined): number {
  if (bytesPerSecond === undefined) return CHUNK_BYTES
  return Math.max(1, Math.min(CHUNK_BYTES, Math.floor(bytesPerSecond / 20)))
}

async function pace(
  sent: number,
  began: number,
  bytesPerSecond: number | undefined,
): Promise<void> {
  if (bytesPerSecond === undefined) return
  const dueMs = (sent / bytesPerSecond) * 1000
  const aheadMs = dueMs - (performance.now() - began)
  if (aheadMs > 1) await new Promise((resolve) => setTimeout(resolve, aheadMs))
}

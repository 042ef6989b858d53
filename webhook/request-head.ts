import type { IncomingMessage } from 'node:http'
import { parseGoDuration } from '../common/go-duration.ts'
import { shownText } from '../common/shown-text.ts'
import { Refusal } from './refusal.ts'

/**
 * Gives what answers a request, by its path.
 *
 * @throws a {@link Refusal}: 404, 405 or 415 when it is no `POST` of JSON to one of the paths
 */
export function refuseUnlessReview<T>(
  request: IncomingMessage,
  byPath: Readonly<Record<string, T>>,
): T {
  const { method = '', url = '', headers } = request
  const path = pathOf(url)
  const found = Object.hasOwn(byPath, path) ? byPath[path] : undefined
  if (found === undefined) throw new Refusal(404, `No such path: ${method} ${shownText(path, 100)}`)
  if (method !== 'POST') {
    throw new Refusal(405, `Cannot ${method} ${path}: expected POST`, { allow: 'POST' })
  }
  const [type = ''] = headers['content-type']?.split(';', 1) ?? []
  if (type.trim().toLowerCase() !== 'application/json') {
    const shown = shownText(JSON.stringify(type), 100)
    throw new Refusal(415, `The content type is ${shown}; expected "application/json"`)
  }
  const encoding = headers['content-encoding'] ?? 'identity'
  if (encoding.toLowerCase() !== 'identity') {
    throw new Refusal(415, 'The body is encoded; expected no "Content-Encoding"')
  }
  return found
}

/** The path of a request's target. */
export function pathOf(url: string): string {
  const end = url.indexOf('?')
  return end < 0 ? url : url.slice(0, end)
}

/**
 * Reads the deadline that the API server sets a review, as `?timeout=5s` or `?timeout=1m30s`, in milliseconds.
 *
 * @returns infinity where there is none, or it is not understood: nothing depends on it but a metric
 */
export function timeoutMsOf(url: string): number {
  const text = /[?&]timeout=([^&]*)/.exec(url)?.[1] ?? ''
  const ms = parseGoDuration(text)
  return ms === undefined || ms <= 0 ? Number.POSITIVE_INFINITY : ms
}

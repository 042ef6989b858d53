import type { CodedError } from '../errors.ts'
import { parseGoDuration } from '../go-duration.ts'
import { parseProxyUrl } from './proxy.ts'

/** Makes the error for a value that is none, e.g. `expected true or false`; it does not quote the value. */
type Fail = (expected: string) => CodedError

/** Reads `true` or `false`. */
export function readBoolean(value: unknown, fail: Fail): boolean {
  if (typeof value !== 'boolean') throw fail('expected true or false')
  return value
}

/** Reads `["pull", "resolve", "push"]`; as in containerd an empty list is no list. */
export function readCapabilities(
  value: unknown,
  fail: Fail,
): { readonly pull: boolean; readonly resolve: boolean } {
  const list: readonly unknown[] = Array.isArray(value) ? value : [undefined]
  const names = list.map((item) => {
    const name = typeof item === 'string' ? item.toLowerCase() : ''
    if (!CAPABILITIES.includes(name)) throw fail('expected a list of "pull", "resolve" and "push"')
    return name
  })
  if (names.length === 0) return { pull: true, resolve: true }
  return { pull: names.includes('pull'), resolve: names.includes('resolve') }
}

const CAPABILITIES = ['pull', 'resolve', 'push']

/** Reads the path of a file, or a list of paths. */
export function readPaths(value: unknown, fail: Fail): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  return list.map((item) => {
    if (!isPath(item)) throw fail('expected the path of a PEM file, or a list of paths')
    return item
  })
}

/** Reads a path, a list of paths (each file holds certificate and key), or a list of `[certificate, key]`; an empty key is in the first file. */
export function readClient(
  value: unknown,
  fail: Fail,
): readonly { readonly cert: string; readonly key: string }[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  return list.map((item) => {
    const pair: readonly unknown[] = Array.isArray(item) ? item : [item, '']
    const [cert, key] = pair
    if (pair.length !== 2 || !isPath(cert) || (key !== '' && !isPath(key))) {
      throw fail(
        'expected the path of a PEM file with certificate and key, a list of such paths, or a list of pairs ["client.cert", "client.key"]',
      )
    }
    return { cert, key: key === '' ? cert : key }
  })
}

function isPath(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && !value.includes('\0')
}

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
/** What frames a message, or says what is asked for. */
const OWN_HEADERS =
  /^(?:host|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|proxy-.*|accept|accept-encoding|range|user-agent)$/

/**
 * Reads a table of names and values, of which each is a string or a list of them.
 *
 * @param ignored hears of a header that nobody but the client itself sets
 */
export function readHeaders(
  value: unknown,
  fail: Fail,
  ignored: (name: string) => void,
): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw fail('expected a table of names and values')
  }
  const headers: [string, string][] = []
  for (const [name, given] of Object.entries(value)) {
    const list: readonly unknown[] = Array.isArray(given) ? given : [given]
    const isText = (item: unknown) => typeof item === 'string' && HEADER_VALUE.test(item)
    if (!HEADER_NAME.test(name) || !list.every(isText)) {
      throw fail(
        `${JSON.stringify(name)}: expected a string, or a list of strings, without line breaks`,
      )
    }
    // RFC 9110 section 5.3: several lines of a name are one list.
    if (OWN_HEADERS.test(name.toLowerCase())) ignored(name)
    else headers.push([name.toLowerCase(), list.join(', ')])
  }
  return Object.fromEntries(headers)
}

/** A timer's delay is at most so long; longer ones would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Reads a duration as Go writes it, e.g. `1.5s` or `1m30s`, to whole milliseconds; as in containerd the empty text is none. */
export function readDuration(value: unknown, fail: Fail): number {
  if (value === '') return 0
  const ms = typeof value === 'string' ? parseGoDuration(value) : undefined
  if (ms === undefined || ms < 0) throw fail('expected a duration, e.g. "500ms" or "3s"')
  return Math.min(MAX_TIMER_MS, Math.ceil(ms))
}

/** Reads the URL of an HTTP proxy. */
export function readProxy(value: unknown, fail: Fail): string {
  const proxy = typeof value === 'string' ? parseProxyUrl(value) : undefined
  if (proxy === undefined)
    throw fail('expected the URL of an HTTP proxy, e.g. "http://proxy.example.com:3128"')
  return proxy
}

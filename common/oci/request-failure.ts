import { STATUS_CODES } from 'node:http'
import type { ErrorCode } from '../errors.ts'

/**
 * One HTTP exchange that did not give what was asked. It stays inside the registry client, which tries again or turns it
 * into a CodedError that names the reference. Its message never holds a URL's query, a body, or a credential.
 */
export class RequestFailure extends Error {
  readonly code: ErrorCode
  /** The same request may succeed a little later. */
  readonly transient: boolean
  /** What the server asked for, in milliseconds. */
  readonly retryAfterMs: number | undefined
  /** The credential was refused: another one may do. */
  readonly refused: boolean
  /** The server said that it is asked for too much. */
  readonly overload: boolean
  /** No connection came about. */
  readonly unreachable: boolean

  constructor(
    code: ErrorCode,
    message: string,
    {
      transient = false,
      retryAfterMs,
      refused = false,
      overload = false,
      unreachable = false,
      cause,
    }: {
      readonly transient?: boolean
      readonly retryAfterMs?: number | undefined
      readonly refused?: boolean
      readonly overload?: boolean
      readonly unreachable?: boolean
      readonly cause?: unknown
    } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'RequestFailure'
    this.code = code
    this.transient = transient
    this.retryAfterMs = retryAfterMs
    this.refused = refused
    this.overload = overload
    this.unreachable = unreachable
  }
}

interface StatusMeaning {
  readonly code: ErrorCode
  readonly transient: boolean
}

const MEANINGS: ReadonlyMap<number, StatusMeaning> = new Map([
  [400, { code: 'INVALID', transient: false }],
  [401, { code: 'UNAUTHENTICATED', transient: false }],
  [403, { code: 'DENIED', transient: false }],
  [404, { code: 'NOT_FOUND', transient: false }],
  [408, { code: 'UNAVAILABLE', transient: true }],
  [410, { code: 'NOT_FOUND', transient: false }],
  [416, { code: 'INVALID', transient: false }],
  [425, { code: 'UNAVAILABLE', transient: true }],
  [429, { code: 'UNAVAILABLE', transient: true }],
  [451, { code: 'DENIED', transient: false }],
  [501, { code: 'UNAVAILABLE', transient: false }],
  [505, { code: 'UNAVAILABLE', transient: false }],
])

/** What an HTTP status means to us: any other 5xx passes, any other answer is one that nobody expected. */
export function meaningOfStatus(status: number): StatusMeaning {
  return MEANINGS.get(status) ?? { code: 'UNAVAILABLE', transient: status >= 500 && status <= 599 }
}

/** `404 Not Found`: the registered phrase, never the server's own. */
export function formatStatus(status: number): string {
  const phrase = STATUS_CODES[status]
  return phrase === undefined ? `${status}` : `${status} ${phrase}`
}

/** Reads `Retry-After`: seconds or a date. Undefined when absent or malformed. */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1000
  // Date.parse takes nearly anything for a date, "-5" too.
  const date = / GMT$/.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs)
}

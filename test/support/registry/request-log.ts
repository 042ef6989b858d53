import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'

/** Matches a path: a string in which `*` stands for any characters, e.g. `"/v2/acme/app/blobs/*"`, or an expression. */
export type PathPattern = string | RegExp

/** One request as the registry saw it; `status` and `bytesSent` grow as it is answered. */
export interface LoggedRequest {
  readonly method: string
  /** e.g. `/v2/acme/app/manifests/v1`; `/token` for the token endpoint, also of a separate token server. */
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly headers: Readonly<IncomingHttpHeaders>
  readonly authorization: 'none' | 'basic' | 'bearer' | 'other'
  /** The Range header, e.g. `bytes=100-`. */
  readonly range: string | undefined
  /** Undefined until the status line is sent. */
  readonly status: number | undefined
  /** Bytes of the body that were handed to the connection. */
  readonly bytesSent: number
  /** Whether the answer is complete or the connection is gone. */
  readonly ended: boolean
  /** Resolves when it has ended. */
  readonly closed: Promise<void>
}

/** The same, for those who answer. */
export type OpenRequest = { -readonly [K in keyof LoggedRequest]: LoggedRequest[K] }

/** Answers whether `path` is what `pattern` means. */
export function matchesPath(pattern: PathPattern, path: string): boolean {
  if (pattern instanceof RegExp) return path.search(pattern) >= 0
  const parts = pattern.split('*').map((part) => part.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`).test(path)
}

/** Begins the log entry of a request. */
export function logRequest(
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
): OpenRequest {
  const closed = Promise.withResolvers<void>()
  const scheme = /^\S*/.exec(request.headers.authorization ?? '')?.[0].toLowerCase()
  const logged: OpenRequest = {
    method: request.method ?? '',
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    headers: request.headers,
    authorization:
      scheme === undefined || scheme === ''
        ? 'none'
        : scheme === 'basic' || scheme === 'bearer'
          ? scheme
          : 'other',
    range: request.headers.range,
    status: undefined,
    bytesSent: 0,
    ended: false,
    closed: closed.promise,
  }
  response.once('close', () => {
    logged.ended = true
    closed.resolve()
  })
  return logged
}

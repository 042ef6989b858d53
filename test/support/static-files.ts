import { once } from 'node:events'
import { readFile, stat } from 'node:fs/promises'
import {
  createServer as createHttpServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { join } from 'node:path'
import type { KeyPair } from './certificates.ts'

/** A web server that serves the files of a directory as nginx does, and misbehaves as a test wants. Disposing closes its connections. */
export interface StaticFiles extends AsyncDisposable {
  /** e.g. `127.0.0.1:40123` */
  readonly host: string
  /** Without a slash at the end, e.g. `http://127.0.0.1:40123`. */
  readonly url: string
  /** Oldest first. */
  readonly requests: readonly FileRequest[]
  clearRequests(): void
  /** Has the next requests for a path answered otherwise, until it returns false. */
  intercept(path: RegExp, answer: Interception): void
}

/** @returns false to have the file served after all */
export type Interception = (
  request: IncomingMessage,
  response: ServerResponse,
) => boolean | Promise<boolean>

export interface FileRequest {
  readonly path: string
  readonly status: number
  readonly headers: IncomingHttpHeaders
}

export interface StaticFilesOptions {
  readonly root: string
  /** Plain HTTP when absent. */
  readonly tls?: KeyPair
  /** Default true. */
  readonly ranges?: boolean
}

export async function startStaticFiles(options: StaticFilesOptions): Promise<StaticFiles> {
  const { root, tls, ranges = true } = options
  const requests: FileRequest[] = []
  const interceptions: { readonly path: RegExp; readonly answer: Interception }[] = []
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const path = new URL(request.url ?? '', 'http://x').pathname
    response.once('close', () => {
      requests.push({ path, status: response.statusCode, headers: request.headers })
    })
    for (const { path: pattern, answer } of interceptions) {
      if (pattern.test(path) && (await answer(request, response))) return
    }
    await serveFile(join(root, path), { request, response, ranges })
  }
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    handle(request, response).catch((error: unknown) => response.destroy(error as Error))
  }
  const server = tls === undefined ? createHttpServer(listener) : createHttpsServer(tls, listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('No port')
  const host = `127.0.0.1:${address.port}`
  return {
    host,
    url: `${tls === undefined ? 'http' : 'https'}://${host}`,
    requests,
    clearRequests: () => {
      requests.length = 0
    },
    intercept: (path, answer) => {
      interceptions.push({ path, answer })
    },
    [Symbol.asyncDispose]: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

async function serveFile(
  file: string,
  {
    request,
    response,
    ranges,
  }: {
    readonly request: IncomingMessage
    readonly response: ServerResponse
    readonly ranges: boolean
  },
): Promise<void> {
  const stats = await stat(file).catch(() => undefined)
  if (stats?.isFile() !== true) {
    response.writeHead(404, { 'content-type': 'text/html' }).end('<html>not here</html>')
    return
  }
  const bytes = await readFile(file)
  const seconds = Math.floor(stats.mtimeMs / 1000)
  // As nginx makes it: of the second and the length.
  const etag = `"${seconds.toString(16)}-${bytes.length.toString(16)}"`
  const headers = { etag, 'last-modified': new Date(seconds * 1000).toUTCString() }
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304, headers).end()
    return
  }
  const [, from = '', to = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
  if (!ranges || from === '') {
    response.writeHead(200, { ...headers, 'content-length': bytes.length }).end(bytes)
    return
  }
  const start = Number(from)
  const end = to === '' ? bytes.length : Math.min(Number(to) + 1, bytes.length)
  if (start >= bytes.length) {
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end()
    return
  }
  const range = { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` }
  const length = { 'content-length': end - start }
  response.writeHead(206, { ...headers, ...range, ...length }).end(bytes.subarray(start, end))
}

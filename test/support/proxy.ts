import { createServer, request as httpRequest } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'

/** An HTTP proxy on loopback, which tunnels and forwards. Disposing closes every connection. */
export interface TestProxy extends AsyncDisposable {
  /** e.g. `http://127.0.0.1:40123` */
  readonly url: string
  /** What it was asked for, e.g. `CONNECT registry.test:443` or `GET http://registry.test/v2/`, and by whom. */
  readonly requests: readonly {
    readonly line: string
    readonly authorization: string | undefined
  }[]
}

/**
 * Starts a proxy.
 *
 * @param options.resolve where a host is, e.g. `registry.test:443` -> `127.0.0.1:40124`; default itself
 * @param options.authorization what clients must send as `Proxy-Authorization`; default anything
 */
export async function startProxy(
  options: { readonly resolve?: (host: string) => string; readonly authorization?: string } = {},
): Promise<TestProxy> {
  const { resolve = (host) => host, authorization } = options
  const requests: { line: string; authorization: string | undefined }[] = []
  const sockets = new Set<Socket>()
  const track = (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket)).on('error', () => socket.destroy())
  }
  const isAllowed = (given: string | undefined) =>
    authorization === undefined || given === authorization
  const server = createServer((request, response) => {
    const given = request.headers['proxy-authorization']
    requests.push({ line: `${request.method} ${request.url}`, authorization: given })
    if (!isAllowed(given)) {
      response.writeHead(407).end()
      return
    }
    const url = new URL(request.url ?? '')
    const { 'proxy-authorization': _, ...headers } = request.headers
    const onward = httpRequest(
      `http://${resolve(url.host)}${url.pathname}${url.search}`,
      { method: request.method ?? 'GET', headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.rawHeaders)
        answer.pipe(response)
      },
    )
    onward.on('error', () => response.writeHead(502).end())
    request.pipe(onward)
  })
  server.on('connection', track)
  server.on('connect', (request, socket: Socket) => {
    const given = request.headers['proxy-authorization']
    requests.push({ line: `CONNECT ${request.url}`, authorization: given })
    if (!isAllowed(given)) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n')
      return
    }
    const [host = '', port] = resolve(request.url ?? '').split(':')
    const onward = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n')
      socket.pipe(onward).pipe(socket)
    })
    track(onward)
    onward.once('close', () => socket.destroy())
    socket.once('close', () => onward.destroy())
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    [Symbol.asyncDispose]: () =>
      new Promise((done) => {
        server.close(() => done())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

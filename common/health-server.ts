import { once } from 'node:events'
import { createServer } from 'node:http'
import type { ListenAddress } from './flags.ts'
import { listenOn, portOf } from './listening.ts'

/** Answers probes in plain HTTP, on another port than admission. */
export interface HealthServer extends AsyncDisposable {
  readonly port: number
}

/**
 * Starts to serve `GET /livez` (200 while the process answers at all) and `GET /readyz` (200 or 503).
 *
 * @param options.notReady why the service is not ready, e.g. `draining`; undefined when it is
 */
export async function startHealthServer(options: {
  readonly listen: ListenAddress
  readonly notReady: () => string | undefined
}): Promise<HealthServer> {
  const server = createServer((request, response) => {
    const { status, text } = probe(request.url?.split('?', 1)[0], options.notReady)
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' })
    response.end(`${text}\n`)
    request.resume()
  })
  const port = await listenOn(options.listen, async (address) => {
    server.listen(address)
    await once(server, 'listening')
    return portOf(server.address())
  })
  return {
    port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

function probe(
  path: string | undefined,
  notReady: () => string | undefined,
): { readonly status: number; readonly text: string } {
  if (path === '/livez') return { status: 200, text: 'ok' }
  if (path !== '/readyz') return { status: 404, text: 'not found' }
  const reason = notReady()
  return reason === undefined ? { status: 200, text: 'ok' } : { status: 503, text: reason }
}

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { ListenAddress } from './flags.ts'
import { listenOn } from './listening.ts'
import { METRICS_CONTENT_TYPE, type Metrics } from './metrics.ts'

/** Answers probes in plain HTTP, on another port than admission. */
export interface HealthServer extends AsyncDisposable {
  readonly port: number
}

/**
 * Starts to serve `GET /livez` (200 while the process answers at all), `GET /readyz` (200 or 503) and, for a service that has some, `GET /metrics`.
 *
 * @param options.notReady why the service is not ready, e.g. `draining`; undefined when it is
 */
export async function startHealthServer(options: {
  readonly listen: ListenAddress
  readonly notReady: () => string | undefined
  readonly metrics?: Pick<Metrics, 'text'>
}): Promise<HealthServer> {
  const { notReady, metrics } = options
  const answer = async (path: string | undefined) => {
    if (path === '/metrics' && metrics !== undefined) {
      return { status: 200, type: METRICS_CONTENT_TYPE, text: await metrics.text() }
    }
    const { status, text } = probe(path, notReady)
    return { status, type: 'text/plain; charset=utf-8', text: `${text}\n` }
  }
  const server = createServer((request, response) => {
    void answer(request.url?.split('?', 1)[0]).then(({ status, type, text }) => {
      response.writeHead(status, { 'content-type': type })
      response.end(text)
    })
    request.resume()
  })
  const port = await listenOn(server, options.listen)
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

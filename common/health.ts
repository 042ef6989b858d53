import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ListenAddress } from './flags.ts'

/** What a process answers to the kubelet's probes. */
export interface HealthChecks {
  /** Undefined when it may be sent work, else why not. */
  readonly notReady: () => string | undefined
}

/** Serves `/livez` and `/readyz` over plain HTTP; the disposal closes it. */
export interface HealthServer extends AsyncDisposable {
  readonly port: number
}

/**
 * Starts the health port of a process. `/livez` answers 200 while the event loop turns; `/readyz` 200 or, with the reason as its text, 503.
 *
 * @throws the system's error when the address cannot be listened on
 */
export async function startHealthServer(
  listen: ListenAddress,
  checks: HealthChecks,
): Promise<HealthServer> {
  const server = createServer((request, response) => {
    switch (request.url) {
      case '/livez':
        return answer(response, 200, 'ok')
      case '/readyz': {
        const reason = checks.notReady()
        return reason === undefined ? answer(response, 200, 'ok') : answer(response, 503, reason)
      }
      default:
        return answer(response, 404, 'not found; there are /livez and /readyz')
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(listen.port, listen.host === '' ? undefined : listen.host, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' })
  response.end(`${text}\n`)
}

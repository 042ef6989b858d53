import { join } from 'node:path'
import { buildGo } from '../support/go-build.ts'
import { startProcess } from '../support/process.ts'

/** A proxy in front of a server that is far away. Disposing kills it. */
export interface SlowLink extends AsyncDisposable {
  /** e.g. `127.0.0.1:40123` */
  readonly host: string
  /** What was carried so far. */
  counts(): Promise<LinkCounts>
}

export interface LinkCounts {
  /** Bytes delivered to clients. */
  readonly down: number
  /** Bytes delivered to the server. */
  readonly up: number
  readonly connections: number
  /** Connections that are open now. */
  readonly open: number
}

/** A round trip of 20 ms, 10 each way, and 50 MB/s (10^6) for each connection and direction. */
export const FAR_AWAY = { rttMs: 20, bytesPerSecond: 50e6 } as const

/** Starts the proxy, as a process of its own, in front of `HOST:PORT`. */
export async function startSlowLink(
  target: string,
  options: { readonly rttMs: number; readonly bytesPerSecond: number } = FAR_AWAY,
): Promise<SlowLink> {
  const directory = new URL('slow-link', import.meta.url).pathname
  const built = await buildGo({ name: 'bench-slow-link', directory, packages: '.' })
  const proxy = startProcess({
    command: join(built, 'slow-link'),
    args: [
      ...['-target', target],
      ...['-rtt', `${options.rttMs}ms`],
      ...['-rate', String(options.bytesPerSecond)],
    ],
  })
  const { json } = await proxy.waitForLine((line) => line.json?.['proxy'] !== undefined)
  return {
    host: String(json?.['proxy']),
    counts: async () => {
      const answer = await fetch(`http://${json?.['counts']}`)
      return await (answer.json() as Promise<LinkCounts>)
    },
    [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
  }
}

import { once } from 'node:events'
import type { Server } from 'node:net'
import { isSystemError } from './errors.ts'
import type { ListenAddress } from './flags.ts'

/**
 * Listens where the flag says; an empty host is every address: IPv6 and IPv4, or IPv4 alone where the machine has no IPv6.
 *
 * @returns the port that the server got
 * @throws a system error, e.g. when the port is taken
 */
export async function listenOn(server: Server, { host, port }: ListenAddress): Promise<number> {
  const listen = async (address: ListenAddress) => {
    server.listen(address)
    await once(server, 'listening')
    return portOf(server.address())
  }
  if (host !== '') return listen({ host, port })
  try {
    return await listen({ host: '::', port })
  } catch (error) {
    if (!isSystemError(error, 'EAFNOSUPPORT', 'EADDRNOTAVAIL')) throw error
    return listen({ host: '0.0.0.0', port })
  }
}

/** The port of a server that listens on TCP. */
export function portOf(address: string | { readonly port: number } | null): number {
  if (address === null || typeof address === 'string') throw new TypeError('Not listening on TCP')
  return address.port
}

import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'

const HOST = '127.0.0.1'

/** Where a webhook listens, and who vouches for it. */
export interface Target {
  readonly port: number
  /** PEM. */
  readonly ca: string
  /** The client's own address, e.g. `127.0.0.2`; default `127.0.0.1`. */
  readonly from?: string
}

/** Connects over verified TLS, and leaves all that is said to the caller. */
export async function openTls(
  { port, ca, from = HOST }: Target,
  alpn: string[] = [],
): Promise<TLSSocket> {
  // The types of Node do not say that what a connection of TCP may be told goes for one of TLS.
  const local = { localAddress: from }
  const socket = connectTls({ host: HOST, port, ca, ALPNProtocols: alpn, ...local })
  // What breaks a connection shows by its end.
  socket.on('error', () => undefined)
  await once(socket, 'secureConnect')
  return socket
}

/** Connects, and never begins a handshake. */
export async function openTcp({ port, from = HOST }: Omit<Target, 'ca'>): Promise<Socket> {
  const socket = connectTcp({ host: HOST, port, localAddress: from })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

/** Everything that comes until the server ends the connection. */
export async function untilClosed(socket: Socket): Promise<string> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve))
  return Buffer.concat(chunks).toString()
}

/** The head of a `POST` of JSON, e.g. with `content-length: 12`. */
export function postHead(path: string, ...headers: readonly string[]): string {
  return [
    `POST ${path} HTTP/1.1`,
    'host: webhook',
    'content-type: application/json',
    ...headers,
    '',
    '',
  ].join('\r\n')
}

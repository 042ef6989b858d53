import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'

/** Where a webhook listens, and who vouches for it. */
export interface Target {
  readonly port: number
  /** PEM. */
  readonly ca: string
}

/** Connects over verified TLS, and leaves all that is said to the caller. */
export async function openTls({ port, ca }: Target, alpn: string[] = []): Promise<TLSSocket> {
  const socket = connectTls({ host: '127.0.0.1', port, ca, ALPNProtocols: alpn })
  // What breaks a connection shows by its end.
  socket.on('error', () => undefined)
  await once(socket, 'secureConnect')
  return socket
}

/** Connects, and never begins a handshake. */
export async function openTcp({ port }: Pick<Target, 'port'>): Promise<Socket> {
  const socket = connectTcp({ host: '127.0.0.1', port })
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

import { Buffer } from 'node:buffer'
import { connect } from 'node:net'

const BUFFER_BYTES = 2 ** 20

/**
 * Reads a body from a server over plain HTTP as fast as it can be read, and throws it away: what the link and the server allow.
 *
 * @throws when fewer bytes came than the body has
 */
export async function drain(host: string, path: string, size: number): Promise<void> {
  const [hostname = '', port] = host.split(':')
  let received = 0
  const ended = Promise.withResolvers<void>()
  const socket = connect({
    host: hostname,
    port: Number(port),
    onread: {
      buffer: Buffer.allocUnsafe(BUFFER_BYTES),
      callback: (bytes) => {
        received += bytes
        return true
      },
    },
  })
  socket.once('error', ended.reject)
  socket.once('close', () => ended.resolve())
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
  await ended.promise
  // The head counts too; it is shorter than any shortfall that matters.
  if (received < size) throw new Error(`"${path}" ended after ${received} of ${size} bytes`)
}

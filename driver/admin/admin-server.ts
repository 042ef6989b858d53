import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { CodedError, toCodedError } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import { placeSocket } from '../place-socket.ts'
import { ADMIN_SOCKET, errorBody } from './admin-message.ts'

/** Answers the body of a request with what is to be sent as JSON. */
export type AdminHandler = (body: Uint8Array) => Promise<object>

/** Nothing that is asked is longer. */
const MAX_REQUEST_BYTES = 64 * 1024

/**
 * Serves JSON over HTTP on a unix socket in a directory that is root's alone: for `oras-csi cache`, where it changes what this process has in hand. The
 * socket is placed and removed by `placeSocket`.
 *
 * @param options.handlers by path; POST is the only method
 */
export async function startAdminServer(options: {
  readonly directory: string
  readonly handlers: Readonly<Record<string, AdminHandler>>
  readonly log: Logger
}): Promise<AsyncDisposable> {
  const { directory, handlers, log } = options
  const server = createServer((request, response) => {
    void answer(request, handlers, log).then(({ status, body }) => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(body)
    })
  })
  const temporary = `.admin-${process.pid}.sock`
  await rm(join(directory, temporary), { force: true })
  // By its descriptor: a socket's address holds 107 bytes, and an admin's directory may be longer.
  const fd = openSync(directory, 'r')
  try {
    server.listen(`/proc/self/fd/${fd}/${temporary}`)
    await once(server, 'listening')
  } finally {
    closeSync(fd)
  }
  const placed = await placeSocket(join(directory, temporary), join(directory, ADMIN_SOCKET))

  return {
    async [Symbol.asyncDispose]() {
      await placed[Symbol.asyncDispose]()
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

/** As HTTP knows them; the body has the code. */
const FAULT_STATUS = 422

async function answer(
  request: IncomingMessage,
  handlers: Readonly<Record<string, AdminHandler>>,
  log: Logger,
): Promise<{ readonly status: number; readonly body: string }> {
  const path = request.url ?? ''
  try {
    const handler = Object.hasOwn(handlers, path) ? handlers[path] : undefined
    if (handler === undefined || request.method !== 'POST') {
      throw new CodedError('NOT_FOUND', `This driver does not know ${request.method} ${path}`)
    }
    if (!(Number(request.headers['content-length']) <= MAX_REQUEST_BYTES)) {
      throw new CodedError('INVALID', 'Expected a body with a length')
    }
    const answered = JSON.stringify(await handler(await buffer(request)))
    log.info({ path }, 'did what an admin asked for')
    return { status: 200, body: answered }
  } catch (thrown) {
    const error = toCodedError(thrown)
    log.warn({ path, error }, 'cannot do what an admin asks for')
    return { status: FAULT_STATUS, body: errorBody(error) }
  }
}

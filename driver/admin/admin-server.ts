import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { chmod, lstat, rename, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { CodedError, isSystemError, toCodedError } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import { ADMIN_SOCKET, errorBody } from './admin-message.ts'

/** Answers the body of a request with what is to be sent as JSON. */
export type AdminHandler = (body: Uint8Array) => Promise<object>

/** Nothing that is asked is longer. */
const MAX_REQUEST_BYTES = 64 * 1024

/**
 * Serves JSON over HTTP on a unix socket in a directory that is root's alone: for `oras-csi cache`, where it changes what this process has in hand. The
 * socket appears by a rename, in place of one that an earlier process left; the disposal removes it while it is still this server's.
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
  const socket = join(directory, ADMIN_SOCKET)
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
  await chmod(join(directory, temporary), 0o600)
  const { ino } = await lstat(join(directory, temporary))
  await rename(join(directory, temporary), socket)

  return {
    async [Symbol.asyncDispose]() {
      if ((await inodeOf(socket)) === ino) await rm(socket, { force: true })
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

async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await lstat(path)).ino
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  }
}

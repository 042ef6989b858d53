import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { type IncomingMessage, request as send } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { CodedError, isSystemError } from '../common/errors.ts'
import { ADMIN_SOCKET, MAX_ADMIN_BYTES, parseErrorBody } from '../driver/admin/admin-message.ts'

/**
 * Asks the driver that has a store open.
 *
 * @param directory the driver's --store-directory
 * @param parse reads the body of the answer
 * @throws UNAVAILABLE when no driver runs; what the driver answers with
 */
export async function askDriver<T>(options: {
  readonly directory: string
  readonly path: string
  readonly body: object
  readonly parse: (body: Uint8Array) => T
  readonly signal: AbortSignal
}): Promise<T> {
  const { directory, path, signal } = options
  // By its descriptor: a socket's address holds 107 bytes, and an admin's directory may be longer.
  const fd = openSync(directory, 'r')
  try {
    const body = JSON.stringify(options.body)
    const call = send({
      ...{ socketPath: `/proc/self/fd/${fd}/${ADMIN_SOCKET}`, path, method: 'POST', signal },
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    })
    call.end(body)
    const [response]: IncomingMessage[] = await once(call, 'response')
    if (response === undefined) throw new Error('no response')
    const answer = await buffer(response)
    if (response.statusCode !== 200) throw parseErrorBody(answer.subarray(0, MAX_ADMIN_BYTES))
    return options.parse(answer)
  } catch (error) {
    signal.throwIfAborted()
    // A socket that a killed driver left refuses.
    if (!isSystemError(error, 'ENOENT', 'ECONNREFUSED')) throw error
    throw new CodedError(
      'UNAVAILABLE',
      `No driver has the store "${directory}" open: only it may change what is in there`,
      { cause: error },
    )
  } finally {
    closeSync(fd)
  }
}

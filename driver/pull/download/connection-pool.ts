import type { SecureContext } from 'node:tls'
import type { NoteReach } from '../../../common/oci/address-guard.ts'
import type { Target } from '../../../common/oci/redirect.ts'
import { secureContextOf, trustKey } from '../../../common/oci/trust.ts'
import { type Answer, type Connection, openConnection, UnfitAnswer } from './connection.ts'

/** The connections of one download thread. Disposing closes those that rest. */
export interface ConnectionPool extends Disposable {
  /**
   * Sends a GET request on a connection that rests, or a new one, and waits for the answer's head.
   *
   * The caller receives the body, or closes the connection; what is at rest then he gives back.
   *
   * @throws UnfitAnswer, or the error of the socket
   */
  ask(
    target: Target,
    noteReach: NoteReach,
    signal: AbortSignal,
  ): Promise<{ answer: Answer; connection: Connection }>
  /** Keeps a connection for the next request if it can carry one. */
  giveBack(connection: Connection): void
}

/** Below the 5 s after which many servers close a connection at rest. */
const REST_MS = 4_000
const MAX_RESTING = 16
/** What one read brings of a fast link: a quarter of it takes a third more CPU, mostly the kernel's. */
const BUFFER_BYTES = 1024 * 1024
/** As many as one blob's download has connections. */
const MAX_KEPT_BUFFERS = 8
/** Registries with a private authority or a client certificate. */
const MAX_CONTEXTS = 16

export function createConnectionPool({
  idleTimeoutMs,
}: {
  readonly idleTimeoutMs: number
}): ConnectionPool {
  const resting = new Map<Connection, NodeJS.Timeout>()
  const buffers: Buffer[] = []
  const contexts = new Map<string, SecureContext>()

  const contextOf = ({ tls }: Target) => {
    const key = trustKey(tls)

    const known = contexts.get(key)
    if (known !== undefined) return known
    const context = secureContextOf(tls)
    if (contexts.size >= MAX_CONTEXTS) contexts.clear()
    if (context !== undefined) contexts.set(key, context)
    return context
  }
  const wake = (connection: Connection) => {
    clearTimeout(resting.get(connection))
    resting.delete(connection)
    return connection
  }
  const open = (target: Target, key: string, noteReach: NoteReach): Connection => {
    const buffer = buffers.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES)
    const connection: Connection = openConnection({
      ...{ key, target, buffer, idleTimeoutMs, noteReach },
      secureContext: contextOf(target),
      onClose: () => {
        wake(connection)
        if (buffers.length < MAX_KEPT_BUFFERS) buffers.push(buffer)
      },
    })
    return connection
  }

  return {
    async ask(target, noteReach, signal) {
      // A connection belongs to whoever trusts its certificate in the same way, shows the same one, and may reach as far.
      const key = `${target.url.origin} ${trustKey(target.tls)} ${target.reach}`
      for (;;) {
        const known = resting.keys().find((connection) => connection.key === key)
        const connection = known ? wake(known) : open(target, key, noteReach)
        const { reused } = connection
        signal.addEventListener('abort', connection.close)
        try {
          return { connection, answer: await connection.ask(target) }
        } catch (error) {
          connection.close()
          // The server may have closed it while it rested; a new one tells.
          if (!reused || signal.aborted || error instanceof UnfitAnswer) throw error
        } finally {
          signal.removeEventListener('abort', connection.close)
        }
      }
    },
    giveBack(connection) {
      if (!connection.idle || resting.size >= MAX_RESTING) {
        connection.close()
        return
      }
      resting.set(
        connection,
        setTimeout(() => connection.close(), REST_MS),
      )
    },
    [Symbol.dispose]() {
      for (const connection of [...resting.keys()]) wake(connection).close()
    },
  }
}

import type { OtherConnections } from '../../../common/oci/registry-source.ts'
import type { AnswerBody, HttpAnswer } from '../../../common/oci/transport.ts'
import { UnfitError } from '../../../common/oci/unfit.ts'
import type { DownloadCommand, DownloadReport, ThreadAnswer } from './download-message.ts'
import { unpackFailure } from './failure-data.ts'

/** An answer whose body, when it is the blob's, waits in the thread. */
export interface ExchangeAnswer extends HttpAnswer {
  readonly exchange: number
}

/** The requests that a thread sends for the main one. */
export interface ThreadExchanges {
  /** Sends a GET request. Destroying the answer's body closes its connection. @throws UnfitError, RequestFailure, the signal's reason */
  send(...request: Parameters<OtherConnections['send']>): Promise<ExchangeAnswer>
  /** Takes in what the thread says of an exchange. */
  take(report: Extract<DownloadReport, { readonly exchange: number }>): void
  /** Fails what is on its way: the thread is gone. */
  fail(error: Error): void
}

interface Waiting {
  readonly resolve: (answer: ThreadAnswer) => void
  readonly reject: (error: unknown) => void
}

export function createThreadExchanges(post: (command: DownloadCommand) => void): ThreadExchanges {
  const waiting = new Map<number, Waiting>()
  let next = 0
  return {
    async send({ url, headers, tls, reach, dialTimeoutMs, proxy, signal }, noteReach) {
      signal.throwIfAborted()
      if (proxy !== undefined) throw new UnfitError('a proxy is in between')
      const exchange = next++
      const request = {
        ...{ url: url.href, headers, tls, reach },
        ...(dialTimeoutMs !== undefined && { dialTimeoutMs }),
      }
      const { promise, resolve, reject } = Promise.withResolvers<ThreadAnswer>()
      const discard = () => post({ kind: 'discard', exchange })
      const onAbort = () => {
        discard()
        reject(signal.reason)
      }
      waiting.set(exchange, { resolve, reject })
      signal.addEventListener('abort', onAbort, { once: true })
      try {
        post({ kind: 'request', exchange, request })
        const { status, headers: received, body, reach: seen } = await promise
        if (seen !== undefined) noteReach(url.hostname, seen)
        return {
          exchange,
          status,
          header: (name) => received.get(name),
          body: bodyOf(body, discard),
        }
      } finally {
        waiting.delete(exchange)
        signal.removeEventListener('abort', onAbort)
      }
    },
    take(report) {
      const { resolve, reject } = waiting.get(report.exchange) ?? {}
      switch (report.kind) {
        case 'answer':
          resolve?.(report.answer)
          break
        case 'no-answer':
          reject?.(unpackFailure(report.failure))
          break
        case 'unfit':
          reject?.(new UnfitError(report.reason))
          break
      }
    },
    fail(error) {
      for (const { reject } of waiting.values()) reject(error)
    },
  }
}

function bodyOf(bytes: Uint8Array, discard: () => void): AnswerBody {
  const body: AnswerBody = {
    dump: async () => undefined,
    on: () => body,
    destroy: discard,
    async *[Symbol.asyncIterator]() {
      yield bytes
    },
  }
  return body
}

import { parentPort, workerData } from 'node:worker_threads'
import { CodedError } from '../../../common/errors.ts'
import type { Reach } from '../../../common/oci/address.ts'
import { connectionFailure } from '../../../common/oci/connection-failure.ts'
import { RequestFailure } from '../../../common/oci/request-failure.ts'
import { type Connection, UnfitAnswer } from './connection.ts'
import { createConnectionPool } from './connection-pool.ts'
import { type Download, startDownload } from './download.ts'
import type {
  DownloadCommand,
  DownloadJob,
  DownloadReport,
  DownloadTiming,
  ThreadRequest,
} from './download-message.ts'
import { packFailure } from './failure-data.ts'

// The entry of a download thread: many downloads at once, each told what to ask for by the main thread.
if (parentPort === null) {
  throw new CodedError('INTERNAL', 'download-thread.ts runs in a worker thread only')
}
const port = parentPort
const timing: DownloadTiming = workerData
const { idleTimeoutMs } = timing
const connections = createConnectionPool({ idleTimeoutMs })
const downloads = new Map<number, Download>()
type Accept = Extract<DownloadCommand, { readonly kind: 'accept' }>

/** Requests on their way, and answers whose body waits to be received. */
const exchanges = new Map<
  number,
  { readonly stop: AbortController; body?: { connection: Connection; url: URL } }
>()

function report(message: DownloadReport): void {
  if (message.kind === 'ended') downloads.delete(message.id)
  port.postMessage(message)
}

function begin(id: number, job: DownloadJob): void {
  try {
    const { giveBack } = connections
    downloads.set(id, startDownload(id, job, { report, giveBack, timing }))
  } catch (error) {
    const outcome = { kind: 'failed', failure: packFailure(error), resumed: false } as const
    report({ kind: 'ended', id, outcome })
  }
}

async function request(exchange: number, asked: ThreadRequest): Promise<void> {
  const url = new URL(asked.url)
  const stop = new AbortController()
  exchanges.set(exchange, { stop })
  let reach: Reach | undefined
  const noteReach = (_: string, seen: Reach) => {
    reach = seen
  }
  try {
    const { answer, connection } = await connections.ask({ ...asked, url }, noteReach, stop.signal)
    const { status, headers } = answer.head
    if (status === 200 || status === 206)
      exchanges.set(exchange, { stop, body: { connection, url } })
    else {
      exchanges.delete(exchange)
      connections.giveBack(connection)
    }
    report({ kind: 'answer', exchange, answer: { status, headers, body: answer.body, reach } })
  } catch (error) {
    exchanges.delete(exchange)
    if (error instanceof UnfitAnswer) {
      report({ kind: 'unfit', exchange, reason: error.message })
      return
    }
    const failure =
      error instanceof RequestFailure ? error : connectionFailure(error, url, idleTimeoutMs)
    report({ kind: 'no-answer', exchange, failure: packFailure(failure) })
  }
}

function discard(exchange: number): void {
  const found = exchanges.get(exchange)
  exchanges.delete(exchange)
  found?.stop.abort()
  found?.body?.connection.close()
}

function accept({ id, part, exchange, start, end }: Accept): void {
  const body = exchanges.get(exchange)?.body
  exchanges.delete(exchange)
  const download = downloads.get(id)
  if (body === undefined) return
  if (download === undefined) body.connection.close()
  else download.accept(part, { ...body, start, end })
}

port.on('message', (command: DownloadCommand) => {
  switch (command.kind) {
    case 'begin':
      begin(command.id, command.job)
      break
    case 'cancel':
      downloads.get(command.id)?.cancel()
      break
    case 'grant':
      downloads.get(command.id)?.grant(command.connections)
      break
    case 'slow-down':
      downloads.get(command.id)?.slowDown()
      break
    case 'request':
      void request(command.exchange, command.request)
      break
    case 'discard':
      discard(command.exchange)
      break
    case 'accept':
      accept(command)
      break
    case 'refuse':
      downloads.get(command.id)?.refuse(command.part, command.failure)
      break
  }
})

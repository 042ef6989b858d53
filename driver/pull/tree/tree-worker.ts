import { parentPort, workerData } from 'node:worker_threads'
import { CodedError, toCodedError } from '../../../common/errors.ts'
import { trackDescriptors } from '../../linux/directory.ts'
import { isOutOfSpace } from '../../linux/free-space.ts'
import { buildView } from '../view/view-builder.ts'
import { buildTree } from './tree-builder.ts'
import type { Cancellation, IncomingBlob, TreeSummary } from './tree-job.ts'
import type { JobRequest, TreeReply, TreeRequest, TreeWorkerData } from './tree-message.ts'

// The entry of a worker thread: one job at a time.
if (parentPort === null) {
  throw new CodedError('INTERNAL', 'tree-worker.ts runs in a worker thread only')
}
const port = parentPort
const { cancelled, descriptors }: TreeWorkerData = workerData
trackDescriptors(descriptors)

/** Blocking calls let no event through: what the pool shares is looked at instead. */
const cancellation: Cancellation = {
  throwIfAborted() {
    if (Atomics.load(cancelled, 0) === 1) throw cancelledError()
  },
}

let awaited: PromiseWithResolvers<'here' | IncomingBlob> | undefined

function awaitBlob(step: number): Promise<'here' | IncomingBlob> {
  awaited = Promise.withResolvers()
  reply({ kind: 'await', step })
  return awaited.promise
}

function reply(message: TreeReply): void {
  port.postMessage(message)
}

function cancelledError(): CodedError {
  return new CodedError('UNAVAILABLE', 'Cancelled')
}

async function work(request: JobRequest): Promise<TreeSummary> {
  switch (request.kind) {
    case 'build':
      return buildTree(request.job, cancellation, request.awaitsBlobs ? awaitBlob : undefined)
    case 'view':
      return buildView(request.job, cancellation)
  }
}

async function build(request: JobRequest): Promise<void> {
  try {
    reply({ kind: 'built', summary: await work(request) })
  } catch (error) {
    const { code, message, cause } = toCodedError(error)
    reply({
      kind: 'failed',
      code,
      message,
      ...(cause instanceof Error && { cause: cause.stack ?? cause.message }),
      isOutOfSpace: isOutOfSpace(error),
    })
  }
}

port.on('message', (request: TreeRequest) => {
  switch (request.kind) {
    case 'build':
    case 'view':
      void build(request)
      break
    case 'blob':
      awaited?.resolve(request.blob)
      break
    case 'stop':
      awaited?.reject(cancelledError())
      break
  }
})

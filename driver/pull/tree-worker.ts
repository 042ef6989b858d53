import { parentPort, workerData } from 'node:worker_threads'
import { CodedError, toCodedError } from '../../common/errors.ts'
import { trackDescriptors } from '../linux/directory.ts'
import { buildTree } from './tree-builder.ts'
import type { Cancellation, TreeJob } from './tree-job.ts'
import type { TreeReply, TreeWorkerData } from './tree-message.ts'

// The entry of a worker thread: one job at a time, each posted as a TreeJob.
if (parentPort === null) {
  throw new CodedError('INTERNAL', 'tree-worker.ts runs in a worker thread only')
}
const port = parentPort
const { cancelled, descriptors }: TreeWorkerData = workerData
trackDescriptors(descriptors)

/** Blocking calls let no event through: what the pool shares is looked at instead. */
const cancellation: Cancellation = {
  throwIfAborted() {
    if (Atomics.load(cancelled, 0) === 1) throw new CodedError('UNAVAILABLE', 'Cancelled')
  },
}

function reply(message: TreeReply): void {
  port.postMessage(message)
}

port.on('message', (job: TreeJob) => {
  buildTree(job, cancellation).then(
    (summary) => reply({ kind: 'built', summary }),
    (error: unknown) => {
      const { code, message, cause } = toCodedError(error)
      reply({
        kind: 'failed',
        code,
        message,
        ...(cause instanceof Error && { cause: cause.stack ?? cause.message }),
      })
    },
  )
})
reply({ kind: 'ready' })

import { parentPort } from 'node:worker_threads'
import { CodedError, isSystemError, messageOf } from '../../common/errors.ts'
import { removeTreeInSlices } from './remove-tree.ts'
import type { RemovalReply, RemovalRequest } from './remove-tree-thread.ts'

// The entry of a thread that removes one tree after the other; `stop` ends the one it is at, between two slices.
if (parentPort === null) {
  throw new CodedError('INTERNAL', 'remove-tree-worker.ts runs in a worker thread only')
}
const port = parentPort
let stop = new AbortController()

async function remove(request: Extract<RemovalRequest, { kind: 'remove' }>): Promise<RemovalReply> {
  const { directory, name, pauseMs } = request
  stop = new AbortController()
  try {
    await removeTreeInSlices(directory, name, stop.signal, pauseMs)
    return { kind: 'removed' }
  } catch (error) {
    const code = isSystemError(error) ? error.code : undefined
    return { kind: 'failed', message: messageOf(error), ...(code !== undefined && { code }) }
  }
}

port.on('message', (request: RemovalRequest) => {
  switch (request.kind) {
    case 'remove':
      void remove(request).then((reply) => port.postMessage(reply))
      break
    case 'stop':
      stop.abort(new Error('stopped'))
      break
  }
})

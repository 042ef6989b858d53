import { parentPort, workerData } from 'node:worker_threads'
import { removeTreeInSlices } from './remove-tree.ts'

// The entry of a thread that removes one tree and ends; any message stops it between two slices.
const { directory, name }: { readonly directory: string; readonly name: string } = workerData
const stop = new AbortController()
parentPort?.once('message', () => stop.abort(new Error('stopped')))
try {
  await removeTreeInSlices(directory, name, stop.signal)
} finally {
  // The thread ends when nobody is listened to.
  parentPort?.close()
}

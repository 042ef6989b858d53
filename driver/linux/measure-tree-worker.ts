import { parentPort, workerData } from 'node:worker_threads'
import { CodedError, isSystemError, messageOf } from '../../common/errors.ts'
import { measureTree } from './measure-tree.ts'
import type { TreeMeasured } from './measure-tree-thread.ts'

// The entry of a thread that measures the directories it is given, and ends.
if (parentPort === null) {
  throw new CodedError('INTERNAL', 'measure-tree-worker.ts runs in a worker thread only')
}
const port = parentPort
const paths: readonly string[] = workerData

/** After each slice of a thousand names: a million take a minute or so, and nobody notices. */
const REST_MS = 10
const never = new Int32Array(new SharedArrayBuffer(4))

for (const path of paths) port.postMessage(measure(path))

function measure(path: string): TreeMeasured {
  try {
    return { path, use: measureTree(path, () => void Atomics.wait(never, 0, 0, REST_MS)) }
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return { path }
    return { path, fault: messageOf(error) }
  }
}

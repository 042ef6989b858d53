import { parentPort, workerData } from 'node:worker_threads'
import { CodedError } from '../../../common/errors.ts'
import { parseManifest } from '../../../common/oci/manifest.ts'
import type { ManifestReply, ManifestWorkerData } from './manifest-message.ts'

// The entry of a thread that parses one manifest and ends.
const { bytes, limits }: ManifestWorkerData = workerData

function parse(): ManifestReply {
  try {
    return { kind: 'parsed', manifest: parseManifest(bytes, limits) }
  } catch (error) {
    // A bug ends the thread, which is how the driver gets to know it whole.
    if (!(error instanceof CodedError)) throw error
    return { kind: 'failed', code: error.code, message: error.message }
  }
}

parentPort?.postMessage(parse())

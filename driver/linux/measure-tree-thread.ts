import { Worker } from 'node:worker_threads'
import type { TreeUse } from './measure-tree.ts'

/** What the thread says of one directory; without `use` when it is gone or cannot be read. */
export interface TreeMeasured {
  readonly path: string
  readonly use?: TreeUse
  readonly fault?: string
}

/** Names of directories that are still to be looked at: 100 bytes each. */
const MAX_HEAP_MIB = 256
/** What a thread lets pile up before it looks for garbage; V8's own 16 to 32 MiB, times the threads, would be most of the driver's memory. */
const YOUNG_HEAP_MIB = 4

/**
 * Measures directories as `measureTree` does, one after the other on a thread of their own, slowly, so that the disk has time for pods.
 *
 * @param onMeasured told of each as it is done
 * @throws the signal's reason when it fires; an error when the thread ends before it is done
 */
export async function measureTrees(
  paths: readonly string[],
  onMeasured: (measured: TreeMeasured) => void,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted()
  const worker = new Worker(new URL('./measure-tree-worker.ts', import.meta.url), {
    name: 'oras-csi measuring',
    workerData: paths,
    execArgv: [],
    // Node would warn at every descriptor that it did not open itself.
    trackUnmanagedFds: false,
    resourceLimits: {
      maxOldGenerationSizeMb: MAX_HEAP_MIB,
      maxYoungGenerationSizeMb: YOUNG_HEAP_MIB,
    },
  })
  const stop = () => void worker.terminate()
  signal.addEventListener('abort', stop, { once: true })
  try {
    await new Promise<void>((resolve, reject) => {
      worker.on('message', onMeasured)
      worker.on('error', reject)
      worker.on('exit', (code) => {
        // Whatever the code: one that is ended before it began has 0.
        if (signal.aborted) reject(signal.reason)
        else if (code === 0) resolve()
        else reject(new Error(`the thread ended with exit code ${code}`))
      })
    })
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

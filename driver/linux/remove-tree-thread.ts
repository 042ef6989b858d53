import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

/** Needs little: names, not contents. */
const MAX_HEAP_MIB = 64

/**
 * Removes an entry as {@link removeTreeInSlices} does, on a thread of its own: unlinking one large file can take a second on a busy disk, and
 * the kubelet unregisters a plugin that does not answer for one.
 *
 * @param directory path of a directory of our own
 * @throws the signal's reason when it fires, once the thread has stopped; what is left can be removed by another call
 */
export async function removeTreeInThread(
  directory: string,
  name: string,
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted()
  const worker = new Worker(new URL('./remove-tree-worker.ts', import.meta.url), {
    name: 'oras-csi trash',
    execArgv: [],
    workerData: { directory, name },
    // Node would warn at every descriptor that it did not open itself.
    trackUnmanagedFds: false,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB },
  })
  const stop = () => worker.postMessage('stop')
  signal?.addEventListener('abort', stop, { once: true })
  try {
    // An error of the thread rejects this.
    await once(worker, 'exit')
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

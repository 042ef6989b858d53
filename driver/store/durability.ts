import { closeSync, openSync } from 'node:fs'
import type { Logger } from '../../common/log.ts'
import { syncFileSystemInBackground } from '../linux/filesystem.ts'

/**
 * Makes what was committed survive a power cut, off the publish path: after a while, one sync of the store's file system for
 * everything that was added, then the marks. The disposal ends it without a last sync: what carries no mark is verified or
 * fetched again after a reboot, and is fine until then.
 */
export interface Durability extends Disposable {
  /** Asks for `mark` to be called once what has been written until now is on the disk. */
  add(mark: () => Promise<void>): void

  /** Syncs and marks now everything that was added; for tests and tools. */
  flush(): Promise<void>
}

/** Long enough to take a burst of pods starting together in one sync, short enough that little is fetched again. */
const DEFAULT_DELAY_MS = 5_000

export function createDurability(options: {
  readonly directory: string
  readonly log: Logger
  readonly delayMs?: number
  readonly sync?: (fd: number) => Promise<void>
}): Durability {
  const { directory, log, sync = syncFileSystemInBackground } = options
  let waiting: (() => Promise<void>)[] = []
  let timer: NodeJS.Timeout | undefined
  let running = Promise.resolve()
  let isDisposed = false

  // Kept open: errors of writing that the kernel has since told somebody else are told to those who were there before.
  const fd = openSync(directory, 'r')

  const flushOnce = async () => {
    if (waiting.length === 0 || isDisposed) return
    const marks = waiting
    waiting = []
    // When it fails the marks are never made: the kernel takes what it could not write for written, and the next sync says nothing of it.
    await sync(fd)
    const failed: { readonly mark: () => Promise<void>; readonly error: unknown }[] = []
    for (const mark of marks) await mark().catch((error: unknown) => failed.push({ mark, error }))
    waiting.unshift(...failed.map(({ mark }) => mark))
    const [first] = failed
    if (first !== undefined) throw first.error
  }
  const flush = () => {
    clearTimeout(timer)
    timer = undefined
    running = running.then(flushOnce).catch((error: unknown) => {
      // Fine while the node stays up: what has no mark is fetched again after a reboot.
      log.error({ error, directory }, 'cannot sync the store to its disk')
    })
    return running
  }
  return {
    add(mark) {
      if (isDisposed) return
      waiting.push(mark)
      timer ??= setTimeout(flush, options.delayMs ?? DEFAULT_DELAY_MS).unref()
    },
    flush,
    [Symbol.dispose]() {
      clearTimeout(timer)
      if (isDisposed) return
      isDisposed = true
      // Its number may be another file's before a sync that runs is over.
      void running.finally(() => closeSync(fd))
    },
  }
}

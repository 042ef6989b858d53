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
}): Durability {
  const { directory, log } = options
  let waiting: (() => Promise<void>)[] = []
  let timer: NodeJS.Timeout | undefined
  let running = Promise.resolve()

  const flushOnce = async () => {
    if (waiting.length === 0) return
    const marks = waiting
    waiting = []
    const fd = openSync(directory, 'r')
    try {
      await syncFileSystemInBackground(fd)
    } catch (error) {
      waiting.unshift(...marks)
      throw error
    } finally {
      closeSync(fd)
    }
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
      // Nothing is lost while the node stays up; the next commit tries again.
      log.warn({ error, directory }, 'cannot sync the store to its disk')
    })
    return running
  }
  return {
    add(mark) {
      waiting.push(mark)
      timer ??= setTimeout(flush, options.delayMs ?? DEFAULT_DELAY_MS).unref()
    },
    flush,
    [Symbol.dispose]: () => clearTimeout(timer),
  }
}

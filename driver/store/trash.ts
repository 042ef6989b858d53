import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { isSystemError } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'

/** What is on its way out: taken by one rename, deleted in the background. The disposal stops deleting; the next start goes on. */
export interface Trash extends AsyncDisposable {
  /** Moves a file or directory of the store out of sight; does nothing when it is gone already. */
  take(path: string): Promise<void>

  /** Deletes what was taken, except what is still mounted somewhere; never follows a link. */
  empty(): Promise<void>
}

export function createTrash(options: {
  readonly directory: string
  readonly log: Logger
  /** Answers whether a path below the trash is the root of a mount. */
  readonly isMounted: (path: string) => Promise<boolean>
  /** Deletes an entry of a directory, whatever it holds, relative to directory descriptors. */
  readonly removeTree: (directory: string, name: string, signal: AbortSignal) => Promise<void>
}): Trash {
  const { directory, log, isMounted, removeTree } = options
  const stopping = new AbortController()
  let emptying = Promise.resolve()

  const emptyOnce = async () => {
    for (const name of await readdir(directory)) {
      if (stopping.signal.aborted) return
      if (await isMounted(join(directory, name))) continue
      try {
        await removeTree(directory, name, stopping.signal)
      } catch (error) {
        if (stopping.signal.aborted) return
        log.warn({ error, entry: name }, 'cannot delete from the trash; trying again later')
      }
    }
  }
  const trash: Trash = {
    async take(path) {
      const name = randomBytes(12).toString('hex')
      await mkdir(directory, { recursive: true, mode: 0o700 })
      try {
        await rename(path, join(directory, name))
      } catch (error) {
        if (isSystemError(error, 'ENOENT')) return
        throw error
      }
      void trash.empty()
    },
    empty() {
      emptying = emptying.then(emptyOnce).catch((error: unknown) => {
        log.warn({ error }, 'cannot empty the trash')
      })
      return emptying
    },
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error('The driver is stopping'))
      await emptying
    },
  }
  return trash
}

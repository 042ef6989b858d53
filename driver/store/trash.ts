import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { isSystemError } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'

/** What is on its way out: taken by one rename, deleted in the background. */
export interface Trash {
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
  readonly removeTree: (directory: string, name: string) => Promise<void>
}): Trash {
  const { directory, log, isMounted, removeTree } = options
  let emptying = Promise.resolve()

  const emptyOnce = async () => {
    for (const name of await readdir(directory)) {
      if (await isMounted(join(directory, name))) continue
      try {
        await removeTree(directory, name)
      } catch (error) {
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
  }
  return trash
}

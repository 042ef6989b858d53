import { chmod, lstat, rename, rm } from 'node:fs/promises'
import { isSystemError } from '../common/errors.ts'

/**
 * Puts a socket that is listened on already into its place, for its owner alone, by a rename: ready for use, and instead of one that an
 * earlier process left. The disposal removes it only while it is still the same: during a rolling update the next driver's may stand there.
 *
 * @param temporary its path until now, in the same directory
 */
export async function placeSocket(temporary: string, path: string): Promise<AsyncDisposable> {
  await chmod(temporary, 0o600)
  const { ino } = await lstat(temporary)
  await rename(temporary, path)
  return {
    async [Symbol.asyncDispose]() {
      if ((await inodeOf(path)) === ino) await rm(path, { force: true })
    },
  }
}

async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await lstat(path)).ino
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  }
}

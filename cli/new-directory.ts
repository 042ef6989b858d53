import { lstat, readdir, rename, rmdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { CodedError, isSystemError } from '../common/errors.ts'

/**
 * Checks that a directory can be made there, or is there and empty.
 *
 * @throws CONFLICT when something stands in the way; NOT_FOUND when its parent is missing
 */
export async function checkTarget(target: string): Promise<void> {
  let entries: readonly string[]
  try {
    entries = await readdir(target)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return checkParent(dirname(target))
    if (!isSystemError(error, 'ENOTDIR')) throw error
    throw new CodedError('CONFLICT', `Cannot pull into "${target}": it is not a directory`, {
      cause: error,
    })
  }
  if (entries.length > 0) {
    throw new CodedError(
      'CONFLICT',
      `Cannot pull into "${target}": it is not empty; name a directory that is not there yet`,
    )
  }
}

async function checkParent(parent: string): Promise<void> {
  try {
    await lstat(parent)
  } catch (error) {
    throw new CodedError('NOT_FOUND', `Cannot pull: the directory "${parent}" does not exist`, {
      cause: error,
    })
  }
}

/** Makes a built tree the directory `target`, in one step; what stands there is empty. Both are on one file system. */
export async function placeTree(root: string, target: string): Promise<void> {
  try {
    await rmdir(target)
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error
  }
  await rename(root, target)
}

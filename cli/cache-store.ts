import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { DRIVER_NAME } from '../common/composition/composition.ts'
import { CodedError, isSystemError } from '../common/errors.ts'
import { bool, text } from '../common/flags.ts'
import { readSmallFile } from '../driver/store/small-file.ts'

/** Which store is meant, and how what is found is written. */
export const STORE_FLAGS = {
  'store-directory': {
    value: 'DIRECTORY',
    doc: "the driver's --store-directory",
    default: `/var/lib/kubelet/plugins/${DRIVER_NAME}/store`,
    parse: text,
  },
  json: { doc: 'as JSON', parse: bool },
} as const

/**
 * Makes sure that a directory is a driver's store.
 *
 * @throws NOT_FOUND when there is none, INVALID when it is something else, DENIED when it may not be looked at
 */
export async function checkStore(directory: string): Promise<void> {
  try {
    await lstat(directory)
    const [format, lock] = [
      await readSmallFile(join(directory, 'format'), (value) => value),
      await lstat(join(directory, 'lock')),
    ]
    if (format.state !== 'absent' && lock.isFile()) return
  } catch (error) {
    if (isSystemError(error, 'EACCES', 'EPERM')) {
      throw new CodedError('DENIED', `Cannot look into "${directory}": it is for root alone`, {
        cause: error,
      })
    }
    if (!isSystemError(error, 'ENOENT', 'ENOTDIR')) throw error
    if (error.path === directory) {
      throw new CodedError(
        'NOT_FOUND',
        `There is no store at "${directory}": run this on a node with the driver, and name its --store-directory if it has one`,
        { cause: error },
      )
    }
  }
  throw new CodedError('INVALID', `"${directory}" is no store of the driver`)
}

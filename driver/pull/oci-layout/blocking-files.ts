import { constants, fstatSync, openSync, readSync } from 'node:fs'
import { isSystemError } from '../../../common/errors.ts'
import type { FileReader } from '../../../common/oci/file-reader.ts'
import { RequestFailure } from '../../../common/oci/request-failure.ts'
import { close, openAt } from '../../linux/directory.ts'

/** A FIFO put in a file's place would hang its reader. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY
/** O_PATH of Linux, the same on x86_64 and arm64: nothing of the directory itself is read. */
const O_PATH = 0o10000000

/**
 * Reads by blocking calls, on the thread that asks: for a process that has nothing else to do.
 *
 * Whoever writes to a layout cannot have a file of the node read by a link to it: the kernel keeps paths below the root.
 */
export const blockingFileReader: FileReader = {
  async open(root, path) {
    const directory = openRoot(root)
    let fd: number
    try {
      fd = openAt(directory, path, READ_FLAGS, 'beneath-mounts')
    } finally {
      close(directory)
    }
    try {
      const stats = fstatSync(fd)
      return {
        isRegular: stats.isFile(),
        size: stats.size,
        read: async (buffer, position) => readSync(fd, buffer, 0, buffer.length, position),
        [Symbol.asyncDispose]: async () => close(fd),
      }
    } catch (error) {
      close(fd)
      throw error
    }
  },
}

/** Anew each time: something else may be mounted there by now. */
function openRoot(root: string): number {
  try {
    return openSync(root, O_PATH | constants.O_DIRECTORY)
  } catch (error) {
    if (!isSystemError(error, 'ENOENT', 'ENOTDIR')) throw error
    const message = `there is no directory ${JSON.stringify(root)} for OCI layouts; is it mounted here, and into the driver's container?`
    throw new RequestFailure('UNAVAILABLE', message, { cause: error })
  }
}

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { type FileReader, READ_FLAGS } from '../../../common/oci/file-reader.ts'

/** Reads by blocking calls, on the thread that asks: for a process that has nothing else to do. */
export const blockingFileReader: FileReader = {
  async open(path) {
    const fd = openSync(path, READ_FLAGS)
    try {
      const stats = fstatSync(fd)
      return {
        isRegular: stats.isFile(),
        size: stats.size,
        read: async (buffer, position) => readSync(fd, buffer, 0, buffer.length, position),
        [Symbol.asyncDispose]: async () => closeSync(fd),
      }
    } catch (error) {
      closeSync(fd)
      throw error
    }
  },
}

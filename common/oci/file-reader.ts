import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

/**
 * Opens files for reading. Where a file system may hang (NFS, FUSE), that must not be done on the thread pool of a process that has
 * other work: four hung reads stop every asynchronous file operation in it.
 */
export interface FileReader {
  /** Opens a file; links are followed. The caller disposes of it. @throws a system error */
  open(path: string): Promise<ReadableFile>
}

export interface ReadableFile extends AsyncDisposable {
  /** Anything else, e.g. a FIFO, must not be read. */
  readonly isRegular: boolean
  /** In bytes, when it was opened. */
  readonly size: number
  /** Reads into `buffer` from an offset of the file; gives how many bytes, 0 at the end. @throws a system error */
  read(buffer: Uint8Array, position: number): Promise<number>
}

/** A FIFO put in a file's place would hang its reader. */
export const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY

/** Reads on the thread pool of this process. */
export const pooledFileReader: FileReader = {
  async open(path) {
    const handle = await open(path, READ_FLAGS)
    try {
      const stats = await handle.stat()
      return {
        isRegular: stats.isFile(),
        size: stats.size,
        read: async (buffer, position) =>
          (await handle.read(buffer, 0, buffer.length, position)).bytesRead,
        [Symbol.asyncDispose]: () => handle.close(),
      }
    } catch (error) {
      await handle.close()
      throw error
    }
  },
}

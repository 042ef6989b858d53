/**
 * Opens files for reading. Where a file system may hang (NFS, FUSE), that must not be done on the thread pool of a process that has
 * other work: four hung reads stop every asynchronous file operation in it.
 */
export interface FileReader {
  /**
   * Opens a file at a path below the directory `root`. Links are followed as long as they stay below it. The caller disposes of the file.
   *
   * @throws a system error: `EXDEV` or `ELOOP` for a link that leads elsewhere; RequestFailure when there is no such directory
   */
  open(root: string, path: string): Promise<ReadableFile>
}

export interface ReadableFile extends AsyncDisposable {
  /** Anything else, e.g. a FIFO, must not be read. */
  readonly isRegular: boolean
  /** In bytes, when it was opened. */
  readonly size: number
  /** Reads into `buffer` from an offset of the file; gives how many bytes, 0 at the end. @throws a system error */
  read(buffer: Uint8Array, position: number): Promise<number>
}

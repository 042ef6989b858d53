import type { FileTime } from '../../linux/directory.ts'

/** What an entry is; `char`, `block` and `fifo` are there to be refused by name. */
export type TarEntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo'

/** The header of an entry, its extended headers applied. Names are as written: nothing says that they are safe. */
export interface TarEntry {
  readonly type: TarEntryType
  readonly path: string
  /** Of links; else empty. */
  readonly linkname: string
  /** Bytes of content that follow; 0 for all but files. */
  readonly size: number
  /** Permission bits and setuid, setgid, sticky. */
  readonly mode: number
  readonly time: FileTime
}

/** What the reader hands an archive to, in the archive's order. */
export interface TarHandler {
  /** An entry begins. */
  entry(entry: TarEntry): void
  /** Some of the entry's content; the bytes may be overwritten once the call returns. */
  content(bytes: Uint8Array): void
  /** The entry's content is complete. Called for entries without content, too. */
  entryEnd(): void
}

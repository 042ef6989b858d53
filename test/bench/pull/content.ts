import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { smallFileBytes, writeRandomFile, writeSmallFiles } from './random-files.ts'

/** What is pulled. */
export interface Content {
  /** What it is selected by, e.g. `512m`. */
  readonly word: string
  readonly what: string
  /** How many bytes its files have together. */
  readonly bytes: number
  /** How many files a pull of it writes. */
  readonly files: number
  /** How many blobs it is downloaded as. */
  readonly blobs: number
  /** Whether it is a directory, which travels as an archive. */
  readonly isArchive: boolean
  /** Writes it, and gives what `oras push` is told, relative to the directory. */
  make(directory: string): Promise<readonly string[]>
}

/** e.g. `512 MiB` */
type Size = `${number} ${keyof typeof UNITS}`

const UNITS = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 } as const
const LARGE_FILE_BYTES = 128 * UNITS.MiB
const SMALL_FILES = 20_000
const LARGE_FILES = 4

/** One or more files of random bytes, each of which is a blob. */
export function randomBlobs(size: Size, blobs = 1): Content {
  const bytes = bytesOf(size)
  const short = size.replace(' ', '').replace('iB', '').toLowerCase()
  return {
    word: blobs === 1 ? short : `${short}x${blobs}`,
    what: blobs === 1 ? size : `${size} x ${blobs}`,
    bytes: bytes * blobs,
    files: blobs,
    blobs,
    isArchive: false,
    async make(directory) {
      const names = Array.from({ length: blobs }, (_, index) => `blob-${index}.bin`)
      for (const name of names) await writeRandomFile(join(directory, name), bytes)
      return names
    },
  }
}

/** A directory of small files. */
export function smallFiles(): Content {
  return {
    word: '20k',
    what: `${SMALL_FILES} small files (tar+gzip)`,
    bytes: Array.from({ length: SMALL_FILES }, (_, index) => smallFileBytes(index)).reduce(
      (sum, bytes) => sum + bytes,
    ),
    files: SMALL_FILES,
    blobs: 1,
    isArchive: true,
    async make(directory) {
      await mkdir(join(directory, 'small'))
      await writeSmallFiles(join(directory, 'small'), SMALL_FILES)
      return ['small']
    },
  }
}

/** A directory of large files, of which half compresses. */
export function largeFiles(): Content {
  return {
    word: '4x128',
    what: `${LARGE_FILES} x 128 MiB, half compressible (tar+gzip)`,
    bytes: LARGE_FILES * LARGE_FILE_BYTES,
    files: LARGE_FILES,
    blobs: 1,
    isArchive: true,
    async make(directory) {
      await mkdir(join(directory, 'large'))
      for (let index = 0; index < LARGE_FILES; index += 1) {
        const path = join(directory, 'large', `file-${index}.bin`)
        await writeRandomFile(path, LARGE_FILE_BYTES, 'half')
      }
      return ['large']
    },
  }
}

function bytesOf(size: Size): number {
  const [count, unit] = size.split(' ')
  return Number(count) * UNITS[unit === 'KiB' || unit === 'GiB' ? unit : 'MiB']
}

import { CodedError } from '../../../common/errors.ts'

/** A malformed archive: `CORRUPT`, with the byte at which the entry's header starts. */
export function malformed(detail: string, headerAt: number): CodedError {
  return new CodedError('CORRUPT', `Malformed tar archive: ${detail} (header at byte ${headerAt})`)
}

/** Something archives must not contain: `INVALID`, naming the entry. */
export function forbiddenEntry(path: string, detail: string): CodedError {
  return new CodedError('INVALID', `Entry ${quotePath(path)}: ${detail}`)
}

/** An archive's name in a message: quoted, escaped, and not too long. */
export function quotePath(path: string): string {
  return path.length <= 200 ? JSON.stringify(path) : `${JSON.stringify(path.slice(0, 200))}...`
}

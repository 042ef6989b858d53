/**
 * Every way a call can fail, as each edge must be able to answer it.
 *
 * - `INVALID` an annotation, attribute, flag or document is wrong: the caller must change it
 * - `NOT_FOUND` no such manifest, blob, volume or path
 * - `UNAUTHENTICATED` the registry wants other credentials
 * - `DENIED` the registry or the admin's policy refuses
 * - `CONFLICT` published already, differently
 * - `PENDING` still pulling, or another call holds this volume: ask again
 * - `UNAVAILABLE` a registry or API is unreachable or overloaded: ask again
 * - `EXHAUSTED` disk, inodes, quota, or a configured size limit
 * - `CORRUPT` bytes that do not match their digest or size; a malformed archive
 * - `INTERNAL` a bug; the detail belongs in the log, not in the answer
 */
export type ErrorCode =
  | 'INVALID'
  | 'NOT_FOUND'
  | 'UNAUTHENTICATED'
  | 'DENIED'
  | 'CONFLICT'
  | 'PENDING'
  | 'UNAVAILABLE'
  | 'EXHAUSTED'
  | 'CORRUPT'
  | 'INTERNAL'

/**
 * The one error class. Its message is written for the person who reads it in `kubectl describe pod`:
 * what was tried, what happened, what was expected, what to do. Callers match on `code`, never on text.
 */
export class CodedError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'CodedError'
    this.code = code
  }
}

/** Answers whether `error` is a {@link CodedError} with one of `codes` (any code if none is given). */
export function isCodedError(error: unknown, ...codes: ErrorCode[]): error is CodedError {
  return error instanceof CodedError && (codes.length === 0 || codes.includes(error.code))
}

/** Answers whether `error` is a system error (`fs`, `net`, a system call) with one of `codes`, e.g. `"ENOENT"`. */
export function isSystemError(error: unknown, ...codes: string[]): error is NodeJS.ErrnoException {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    (codes.length === 0 ? 'errno' in error || 'syscall' in error : codes.includes(error.code))
  )
}

const OUT_OF_SPACE = ['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE']

/**
 * Turns anything thrown into a {@link CodedError}: a full disk or file table becomes `EXHAUSTED`, whatever nobody
 * foresaw becomes `INTERNAL` with the original as `cause`.
 */
export function toCodedError(error: unknown): CodedError {
  if (error instanceof CodedError) return error
  if (isSystemError(error, ...OUT_OF_SPACE)) {
    return new CodedError('EXHAUSTED', error.message, { cause: error })
  }
  return new CodedError('INTERNAL', 'Internal error: the log has the detail', { cause: error })
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

import { CodedError, type ErrorCode, isSystemError } from '../../../common/errors.ts'
import { RequestFailure } from '../../../common/oci/request-failure.ts'

/** An error as it crosses from one thread to another: a class does not survive that. */
export type FailureData =
  | {
      readonly kind: 'request'
      readonly code: ErrorCode
      readonly message: string
      readonly transient: boolean
      readonly cause?: string
    }
  /** Names its reference already. */
  | {
      readonly kind: 'coded'
      readonly code: ErrorCode
      readonly message: string
      readonly cause?: string
    }
  | {
      readonly kind: 'system'
      readonly code: string
      readonly message: string
      readonly syscall: string
    }
  | { readonly kind: 'bug'; readonly message: string; readonly stack: string }

export function packFailure(error: unknown): FailureData {
  if (error instanceof RequestFailure) {
    const { code, message, transient } = error
    return { kind: 'request', code, message, transient, ...causeOf(error) }
  }
  if (error instanceof CodedError) {
    return { kind: 'coded', code: error.code, message: error.message, ...causeOf(error) }
  }
  const message = error instanceof Error ? error.message : String(error)
  if (isSystemError(error)) {
    return { kind: 'system', code: error.code ?? '', message, syscall: error.syscall ?? '' }
  }
  return { kind: 'bug', message, stack: error instanceof Error ? (error.stack ?? '') : '' }
}

/** Makes the error again. */
export function unpackFailure(failure: FailureData): Error {
  switch (failure.kind) {
    case 'request': {
      const { code, message, transient } = failure
      return new RequestFailure(code, message, { transient, cause: failure.cause })
    }
    case 'coded':
      return new CodedError(failure.code, failure.message, { cause: failure.cause })
    case 'system': {
      const { code, message, syscall } = failure
      return Object.assign(new Error(message), { code, syscall })
    }
    case 'bug':
      return Object.assign(new Error(failure.message), { stack: failure.stack })
  }
}

function causeOf({ cause }: Error): { readonly cause?: string } {
  if (cause === undefined) return {}
  return { cause: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause) }
}

import type { ErrorCode } from '../common/errors.ts'

/** How an error is answered: a denial is a verdict; a failure is the absence of one, for `failurePolicy` to decide. */
export type Verdict =
  | {
      readonly kind: 'denial'
      /** HTTP status and reason of the `Status` in the response. */
      readonly status: number
      readonly reason: 'Invalid' | 'Forbidden' | 'Conflict'
    }
  | {
      readonly kind: 'failure'
      /** HTTP status of the answer itself. */
      readonly status: number
    }

const INVALID = { kind: 'denial', status: 422, reason: 'Invalid' } as const
const FORBIDDEN = { kind: 'denial', status: 403, reason: 'Forbidden' } as const
const CONFLICT = { kind: 'denial', status: 409, reason: 'Conflict' } as const
const TRY_AGAIN = { kind: 'failure', status: 503 } as const

/** How each error code is answered. */
export const VERDICTS = {
  INVALID,
  NOT_FOUND: INVALID,
  UNAUTHENTICATED: FORBIDDEN,
  DENIED: FORBIDDEN,
  CONFLICT,
  PENDING: TRY_AGAIN,
  UNAVAILABLE: TRY_AGAIN,
  // This process is short of memory or descriptors: nothing that the pod's author can change.
  EXHAUSTED: TRY_AGAIN,
  CORRUPT: { kind: 'failure', status: 502 },
  INTERNAL: { kind: 'failure', status: 500 },
} as const satisfies Record<ErrorCode, Verdict>

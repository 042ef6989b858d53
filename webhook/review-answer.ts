import type { Composition } from '../common/composition/composition.ts'
import { findingsOf } from '../common/composition/finding.ts'
import { warning } from '../common/composition/warning.ts'
import type { CodedError } from '../common/errors.ts'
import { formatReference } from '../common/oci/reference.ts'
import { shownText } from '../common/shown-text.ts'
import { type AdmissionRequest, admissionReview } from './admission-review.ts'
import type { JsonObject } from './json.ts'
import { VERDICTS } from './verdict.ts'

/** What goes back over HTTP. */
export interface Answer {
  readonly status: number
  readonly body: JsonObject
}

/** How a review ended: `error` is the absence of a verdict, which `failurePolicy` decides. */
export const REVIEW_RESULTS = ['allowed', 'patched', 'denied', 'error'] as const

export type ReviewResult = (typeof REVIEW_RESULTS)[number]

/** An answer, and what is to be told of it. */
export interface Reviewed {
  readonly answer: Answer
  readonly result: ReviewResult
  /** Why, where it is not plain: a denial's or an error's message, or why nothing was looked at. */
  readonly reason?: string
  /** What a denial or an error came from. */
  readonly error?: CodedError
}

// Of an event, which cuts at 1 KiB; and of a log line.
const MAX_MESSAGE = 4096

/** Allows, with what is to be changed and said. */
export function allowed(
  { uid }: AdmissionRequest,
  extras: {
    readonly patch?: readonly unknown[]
    readonly warnings?: readonly string[]
    /** The API server puts the webhook's name before each key. */
    readonly audit?: Readonly<Record<string, string>>
    readonly reason?: string
  } = {},
): Reviewed {
  const { patch = [], warnings = [], audit, reason } = extras
  return {
    result: patch.length > 0 ? 'patched' : 'allowed',
    ...(reason !== undefined && { reason }),
    answer: {
      status: 200,
      body: admissionReview({
        uid,
        allowed: true,
        // The API server refuses a patchType without a patch.
        ...(patch.length > 0 && {
          patchType: 'JSONPatch',
          patch: Buffer.from(JSON.stringify(patch)).toString('base64'),
        }),
        ...(warnings.length > 0 && {
          warnings: warnings.map((one) => warning(shownText(one, one.length))),
        }),
        ...(audit !== undefined && { auditAnnotations: audit }),
      }),
    },
  }
}

/**
 * Answers an error: with a denial where the object is at fault, else with a failure.
 *
 * @param where put before the message of a denial, e.g. `spec.template`
 */
export function refused({ uid }: AdmissionRequest, error: CodedError, where?: string): Reviewed {
  const verdict = VERDICTS[error.code]
  if (verdict.kind === 'failure') return failed(verdict.status, error)
  const text = denialText(error)
  const message = shownText(where === undefined ? text : `${where}: ${text}`, MAX_MESSAGE)
  const { status: code, reason } = verdict
  const status = { status: 'Failure', message, reason, code }
  return {
    answer: {
      status: 200,
      body: admissionReview({
        uid,
        allowed: false,
        status,
        auditAnnotations: deniedAudit(error.code, message),
      }),
    },
    result: 'denied',
    reason: message,
    error,
  }
}

/** Answers without a verdict. */
export function failed(status: number, error: CodedError): Reviewed {
  const message = shownText(error.message, MAX_MESSAGE)
  return { answer: { status, body: { message } }, result: 'error', reason: message, error }
}

// Audit logs are kept long and paid by size; the whole of a denial stands in the response's status.
const MAX_AUDIT_VALUE = 256

function deniedAudit(code: string, message: string): JsonObject {
  return { denied: shownText(`${code}: ${message}`, MAX_AUDIT_VALUE) }
}

/**
 * Says in an audit annotation what was composed: `/app=ghcr.io/acme/app:v1 /lib=ghcr.io/acme/lib:2`, cut to 256 characters.
 *
 * It tells what is asked for, not what was changed: a second call of the same webhook has to say the same, or the API server
 * complains in its log.
 */
export function composedAudit({ entries }: Composition) {
  if (entries.length === 0) return {}
  const text = entries.map((entry) => `${entry.mountPath}=${formatReference(entry.reference)}`)
  return { audit: { artifacts: shownText(text.join(' '), MAX_AUDIT_VALUE) } }
}

// More than a person mends in one go, in the one line that kubectl prints.
const MAX_OTHERS = 4

/** Everything that is wrong, the first thing first. */
function denialText(error: CodedError): string {
  const [, ...others] = findingsOf(error)
  const shown = others.slice(0, MAX_OTHERS).map(({ message }) => `; also: ${message}`)
  const rest = others.length - shown.length
  return `${error.message}${shown.join('')}${rest > 0 ? `; and ${rest} more` : ''}`
}

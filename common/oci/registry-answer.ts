import { readBody } from './body.ts'
import type { Exchange } from './redirect.ts'
import {
  formatStatus,
  meaningOfStatus,
  parseRetryAfter,
  RequestFailure,
} from './request-failure.ts'

/** What was asked for, for the message of a 404. */
export interface Wanted {
  /** e.g. `manifest "v1"`, `blob sha256:…` */
  readonly what: string
  readonly repository: string
}

// distribution-spec 1.1 "Error codes"; nothing else of a body may reach a message.
const ERROR_CODE = /^[A-Z_]{1,64}$/
const MAX_ERROR_BYTES = 64 * 1024

/**
 * Makes the failure for an answer that is no success. Of its body only the registry's error code is read.
 *
 * @throws the signal's reason
 */
export async function answerFailure(
  exchange: Exchange,
  wanted: Wanted,
  { idleTimeoutMs, signal }: { readonly idleTimeoutMs: number; readonly signal: AbortSignal },
): Promise<RequestFailure> {
  const { answer, target, foreign } = exchange
  const { status } = answer
  const errorCode = await readErrorCode(exchange, { idleTimeoutMs, signal })
  const { code, transient } = meaningOfStatus(status)
  const detail = errorCode === undefined ? '' : ` (${errorCode})`
  const retryAfterMs = parseRetryAfter(answer.header('retry-after'), Date.now())
  const options = {
    ...{ transient, retryAfterMs },
    refused: !foreign && REFUSALS.includes(status),
    overload: OVERLOADS.includes(status),
  }
  if (foreign) {
    const host = JSON.stringify(target.url.host)
    const message = `host ${host}, to which the registry redirected, answered ${formatStatus(status)}`
    return new RequestFailure(code, message + detail, options)
  }
  if (code === 'NOT_FOUND') {
    const missing = errorCode === 'NAME_UNKNOWN' ? `repository "${wanted.repository}"` : wanted.what
    return new RequestFailure(code, `registry has no ${missing}${detail}`, options)
  }
  return new RequestFailure(code, `registry answered ${formatStatus(status)}${detail}`, options)
}

const REFUSALS = [401, 403]
const OVERLOADS = [429, 503]

async function readErrorCode(
  { answer, target }: Exchange,
  { idleTimeoutMs, signal }: { readonly idleTimeoutMs: number; readonly signal: AbortSignal },
): Promise<string | undefined> {
  try {
    const limits = {
      url: target.url,
      maxBytes: MAX_ERROR_BYTES,
      name: 'error',
      idleTimeoutMs,
      signal,
    }
    const document: unknown = JSON.parse((await readBody(answer, limits)).toString('utf8'))
    return firstErrorCode(document)
  } catch {
    // A body that is no error document, or broke off, says nothing: the status does.
    signal.throwIfAborted()
    return undefined
  }
}

function firstErrorCode(document: unknown): string | undefined {
  if (typeof document !== 'object' || document === null || !('errors' in document)) return undefined
  const { errors } = document
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined
  if (typeof first !== 'object' || first === null || !('code' in first)) return undefined
  return typeof first.code === 'string' && ERROR_CODE.test(first.code) ? first.code : undefined
}

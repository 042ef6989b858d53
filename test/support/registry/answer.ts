import { type Content, contentOf } from './content.ts'

/** What a request is answered with, before faults and ranges are applied. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** The whole representation; a range is cut out of it when it is sent. */
  readonly content?: Content
}

/** The error codes of the distribution spec. @see https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#error-codes */
export type SpecErrorCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'UNAUTHORIZED'
  | 'DENIED'
  | 'UNSUPPORTED'
  | 'TOOMANYREQUESTS'

/** An answer without a body. */
export function emptyAnswer(
  status: number,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return { status, headers: { 'content-length': '0', ...headers } }
}

/** An answer with a JSON body. */
export function jsonAnswer(
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    content: contentOf(Buffer.from(JSON.stringify(value))),
  }
}

/** `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"...","detail":null}]}` */
export function errorAnswer(
  status: number,
  code: SpecErrorCode,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return jsonAnswer(status, { errors: [{ code, message, detail: null }] }, headers)
}

/** The answer to a method that an endpoint does not have. */
export function notAllowed(): Answer {
  return errorAnswer(405, 'UNSUPPORTED', 'the operation is unsupported')
}

import { CodedError } from '../common/errors.ts'
import { isJsonObject, isTrueAt, type JsonObject, objectAt, textAt } from './json.ts'

const API_VERSION = 'admission.k8s.io/v1'
const KIND = 'AdmissionReview'

/** What the API server asks. */
export interface AdmissionRequest {
  /** Echoed in the response. */
  readonly uid: string
  /** e.g. `CREATE` */
  readonly operation: string
  /** e.g. `ephemeralcontainers`; absent for the object itself. */
  readonly subResource?: string
  /** Version and kind, e.g. `v1 Pod` or `apps/v1 Deployment`. */
  readonly kind: string
  /** The pod's may be empty in the object; this one is not. */
  readonly namespace?: string
  /** Nothing is stored; `kubectl --dry-run=server`. */
  readonly dryRun: boolean
  /** As it shall be; empty for a deletion. */
  readonly object: JsonObject
  /** As it is, for an update. */
  readonly oldObject?: JsonObject
}

/**
 * Reads an AdmissionReview of `admission.k8s.io/v1`.
 *
 * @throws INVALID when it is none
 */
export function readAdmissionReview(document: unknown): AdmissionRequest {
  if (!isJsonObject(document)) throw unreadable('the body is not a JSON object')
  expectText(document, 'apiVersion', API_VERSION)
  expectText(document, 'kind', KIND)
  const request = objectAt(document, 'request')
  const uid = textAt(request, 'uid')
  if (request === undefined || uid === undefined) throw unreadable('"request.uid" is missing')
  const kind = objectAt(request, 'kind')
  const group = textAt(kind, 'group')
  const namespace = textAt(request, 'namespace')
  const subResource = textAt(request, 'subResource')
  const oldObject = objectAt(request, 'oldObject')
  const name = `${textAt(kind, 'version') ?? '?'} ${textAt(kind, 'kind') ?? '?'}`
  return {
    uid,
    operation: textAt(request, 'operation') ?? '',
    kind: group === undefined ? name : `${group}/${name}`,
    dryRun: isTrueAt(request, 'dryRun'),
    object: objectAt(request, 'object') ?? {},
    ...(oldObject !== undefined && { oldObject }),
    ...(namespace !== undefined && { namespace }),
    ...(subResource !== undefined && { subResource }),
  }
}

/** Wraps a response for the API server. */
export function admissionReview(response: JsonObject): JsonObject {
  return { apiVersion: API_VERSION, kind: KIND, response }
}

function expectText(document: JsonObject, key: string, expected: string): void {
  const found = textAt(document, key)
  if (found === expected) return
  throw unreadable(
    `"${key}" is ${JSON.stringify(found?.slice(0, 100) ?? null)}; expected ${JSON.stringify(expected)}`,
  )
}

function unreadable(why: string): CodedError {
  return new CodedError('INVALID', `Cannot read the admission review: ${why}`)
}

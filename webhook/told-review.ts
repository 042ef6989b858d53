import { toCodedError } from '../common/errors.ts'
import type { Logger } from '../common/log.ts'
import { shownText } from '../common/shown-text.ts'
import type { AdmissionPolicy } from './admission-policy.ts'
import { type AdmissionRequest, readAdmissionReview } from './admission-review.ts'
import type { ComposeContext } from './compose.ts'
import { isTrueAt, type JsonObject, objectAt, objectsAt, textAt } from './json.ts'
import { type Answer, failed, type Reviewed, refused } from './review-answer.ts'
import type { ReviewObserver } from './webhook-metrics.ts'

/** What reviewing needs. */
export interface ReviewDependencies {
  /** Gets one line for each review. */
  readonly log: Logger
  readonly observer?: ReviewObserver
  readonly options?: ComposeContext
  /** Absent: everything is allowed. */
  readonly policy?: AdmissionPolicy
  /** Milliseconds of a steady clock; default `performance.now`. */
  readonly now?: () => number
}

/** One kind of review. */
export interface Endpoint {
  /** e.g. `/mutate` */
  readonly path: string
  /** Answers a request; what it throws is answered as {@link refused} does. */
  readonly decide: (request: AdmissionRequest, dependencies: ReviewDependencies) => Reviewed
  /** Where in the object that is which a denial speaks of, e.g. `spec.template`; undefined: the object itself. */
  readonly where?: (request: AdmissionRequest) => string | undefined
}

/**
 * Answers an AdmissionReview, counts it and logs it in one line. Never throws.
 *
 * A body that is no review gives 400, and a failure that says nothing about the object 5xx: those are the absence of a verdict, which
 * `failurePolicy` decides.
 *
 * @param document the parsed body
 */
export function tellReview(
  endpoint: Endpoint,
  document: unknown,
  dependencies: ReviewDependencies,
): Answer {
  const now = dependencies.now ?? (() => performance.now())
  const start = now()
  const { subject, reviewed } = review(endpoint, document, dependencies)
  const { answer, result, reason, error } = reviewed
  const ms = Math.round((now() - start) * 1000) / 1000
  dependencies.observer?.reviewed(endpoint.path, result, error?.code ?? '')
  const level = result === 'error' ? 'error' : 'info'
  dependencies.log[level](
    {
      ...{ path: endpoint.path, ...subject, result },
      ...(error !== undefined && { code: error.code }),
      ...(reason !== undefined && { reason }),
      // The stack of a bug.
      ...(result === 'error' && { error }),
      ms,
    },
    'review',
  )
  return answer
}

function review(
  { decide, where }: Endpoint,
  document: unknown,
  dependencies: ReviewDependencies,
): { readonly subject: JsonObject; readonly reviewed: Reviewed } {
  let request: AdmissionRequest
  try {
    request = readAdmissionReview(document)
  } catch (thrown) {
    return { subject: {}, reviewed: failed(400, toCodedError(thrown)) }
  }
  const subject = subjectOf(request)
  try {
    return { subject, reviewed: decide(request, dependencies) }
  } catch (thrown) {
    return { subject, reviewed: refused(request, toCodedError(thrown), where?.(request)) }
  }
}

// A name has at most 253 characters; before the API server has looked, anything can stand there.
const MAX_NAME = 253

/** Who asks: controllers' pods have no name yet. The user is left out: the API server's audit log has that. */
function subjectOf({ uid, namespace, kind, dryRun, object }: AdmissionRequest): JsonObject {
  const metadata = objectAt(object, 'metadata')
  const owner = objectsAt(metadata, 'ownerReferences').find((one) => isTrueAt(one, 'controller'))
  const name = textAt(metadata, 'name') ?? textAt(metadata, 'generateName')
  const shown =
    owner === undefined
      ? `${kind.slice(kind.indexOf(' ') + 1)}/${name ?? '?'}`
      : `${textAt(owner, 'kind') ?? '?'}/${textAt(owner, 'name') ?? '?'}`
  return {
    uid: shownText(uid, MAX_NAME),
    namespace: shownText(namespace ?? '', MAX_NAME),
    owner: shownText(shown, 2 * MAX_NAME),
    ...(dryRun && { dryRun }),
  }
}

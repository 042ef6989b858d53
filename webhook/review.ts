import { CodedError } from '../common/errors.ts'
import type { AdmissionRequest } from './admission-review.ts'
import { compare } from './compare.ts'
import { mutate } from './mutate.ts'
import { type Answer, allowed, composedAudit, failed, type Reviewed } from './review-answer.ts'
import { type Endpoint, type ReviewDependencies, tellReview } from './told-review.ts'

const MUTATE: Endpoint = { path: '/mutate', decide: decidePod }

/**
 * Answers an AdmissionReview about a pod: allowed, with a JSON Patch where something is to be done, or denied. Never throws.
 *
 * @param document the parsed body
 * @see https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
 */
export function reviewPod(document: unknown, dependencies: ReviewDependencies): Answer {
  return tellReview(MUTATE, document, dependencies)
}

function decidePod(
  request: AdmissionRequest,
  { options = {}, policy }: ReviewDependencies,
): Reviewed {
  if (request.kind !== 'v1 Pod') {
    const message = `Expected a v1 Pod, found ${request.kind}`
    return failed(400, new CodedError('INVALID', message))
  }
  // The objects of other operations (an ephemeral container, a status) are not ours to change.
  if (request.operation !== 'CREATE' || request.subResource !== undefined) {
    return allowed(request, { reason: passedOver(request) })
  }
  const composed = mutate(request.object, options)
  policy?.check(composed.composition, request.namespace)
  return allowed(request, {
    patch: compare(request.object, composed.pod),
    warnings: composed.warnings,
    ...composedAudit(composed.composition),
  })
}

/** Why an object is not looked at, for the log. */
export function passedOver({ operation, subResource }: AdmissionRequest): string {
  const of = subResource === undefined ? '' : ` of ${subResource}`
  return `passed over: ${operation}${of}`
}

import { isDeepStrictEqual } from 'node:util'
import { warning } from '../common/composition/warning.ts'
import type { AdmissionRequest } from './admission-review.ts'
import { isTrueAt, type JsonObject, objectAt, objectsAt, textAt } from './json.ts'
import { mutate } from './mutate.ts'
import { passedOver } from './review.ts'
import { type Answer, allowed, composedAudit, type Reviewed } from './review-answer.ts'
import { type Endpoint, type ReviewDependencies, tellReview } from './told-review.ts'
import { misplacedAnnotations, objectAlong, WORKLOAD_KINDS } from './workload-template.ts'

const VALIDATE_WORKLOAD: Endpoint = {
  path: '/validate-workload',
  decide: decideWorkload,
  where: ({ kind }) => WORKLOAD_KINDS.get(kind)?.template.join('.'),
}

/**
 * Answers an AdmissionReview about a workload: denied, in the same words, where its pods would be denied, and warned about what
 * has no effect or may surprise. Nothing is ever changed: that would break GitOps diffs and immutable Jobs. Never throws.
 *
 * @param document the parsed body
 */
export function reviewWorkload(document: unknown, dependencies: ReviewDependencies): Answer {
  return tellReview(VALIDATE_WORKLOAD, document, dependencies)
}

function decideWorkload(
  request: AdmissionRequest,
  { options = {}, policy }: ReviewDependencies,
): Reviewed {
  const { operation, subResource, object, oldObject, namespace } = request
  // A status or a scale says nothing of the template.
  if (!['CREATE', 'UPDATE'].includes(operation) || subResource !== undefined) {
    return allowed(request, { reason: passedOver(request) })
  }
  const kind = WORKLOAD_KINDS.get(request.kind)
  if (kind === undefined) {
    const reason = `oras-csi knows no workload "${request.kind}", and has not looked at it`
    return allowed(request, { warnings: [warning(reason)], reason })
  }
  // Finalizers and owners must be able to let go of it.
  if (textAt(objectAt(object, 'metadata'), 'deletionTimestamp') !== undefined) {
    return allowed(request, { reason: 'passed over: being deleted' })
  }
  const known = operation === 'UPDATE' ? misplacedAnnotations(kind, oldObject ?? {}) : []
  // A ReplicaSet gets the annotations of its Deployment, and nobody reads what its controller is told.
  const misplaced = isControlled(object)
    ? []
    : misplacedAnnotations(kind, object).filter((one) => !known.includes(one))
  const template = objectAlong(object, kind.template) ?? {}
  // What stands already is not refused anew: it could not be scaled, or labelled, any more.
  if (operation === 'UPDATE' && isUnchanged(template, objectAlong(oldObject, kind.template))) {
    return allowed(request, { warnings: misplaced, reason: 'passed over: same template' })
  }
  const composed = mutate(template, { ...options, origin: 'template' })
  policy?.check(composed.composition, namespace)
  return allowed(request, {
    warnings: [...misplaced, ...composed.warnings],
    ...composedAudit(composed.composition),
  })
}

function isControlled(object: JsonObject): boolean {
  const owners = objectsAt(objectAt(object, 'metadata'), 'ownerReferences')
  return owners.some((owner) => isTrueAt(owner, 'controller'))
}

function isUnchanged(template: JsonObject, before: JsonObject | undefined): boolean {
  return isDeepStrictEqual(template, before ?? {})
}

import { type CodedError, toCodedError } from '../common/errors.ts'
import type { Logger } from '../common/log.ts'
import { type AdmissionRequest, admissionReview, readAdmissionReview } from './admission-review.ts'
import { compare } from './compare.ts'
import type { ComposedPod, ComposeOptions } from './compose.ts'
import { isTrueAt, type JsonObject, objectAt, objectsAt, textAt } from './json.ts'
import { mutate } from './mutate.ts'
import { VERDICTS } from './verdict.ts'

/** What goes back over HTTP. */
export interface Answer {
  readonly status: number
  readonly body: JsonObject
}

/** What reviewing needs. */
export interface ReviewDependencies {
  /** Gets one line for each review. */
  readonly log: Logger
  readonly options?: ComposeOptions
  /** Milliseconds of a steady clock; default `performance.now`. */
  readonly now?: () => number
}

/**
 * Answers an AdmissionReview about a pod: allowed, with a JSON Patch where something is to be done, or denied.
 *
 * A body that is no review of a pod gives 400, and a failure that says nothing about the pod 5xx: those are the
 * absence of a verdict, which `failurePolicy` decides. Never throws.
 *
 * @param document the parsed body
 * @see https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
 */
export function reviewPod(document: unknown, dependencies: ReviewDependencies): Answer {
  const now = dependencies.now ?? (() => performance.now())
  const start = now()
  const { answer, facts } = answerFor(document, dependencies.options ?? {})
  const ms = Math.round((now() - start) * 1000) / 1000
  const level = facts.result === 'failed' ? 'error' : 'info'
  dependencies.log[level]({ ...facts, ms }, 'review')
  return answer
}

interface Reviewed {
  readonly answer: Answer
  /** For the log. */
  readonly facts: {
    readonly result: 'patched' | 'unchanged' | 'passed over' | 'denied' | 'failed'
    readonly [key: string]: unknown
  }
}

function answerFor(document: unknown, options: ComposeOptions): Reviewed {
  let request: AdmissionRequest
  try {
    request = readAdmissionReview(document)
  } catch (thrown) {
    const error = toCodedError(thrown)
    return failed(400, error, {})
  }
  const about = subjectOf(request)
  if (request.kind !== 'v1 Pod') {
    return {
      answer: { status: 400, body: { message: `Expected a v1 Pod, found ${request.kind}` } },
      facts: { ...about, result: 'failed', reason: `not a v1 Pod but ${request.kind}` },
    }
  }
  // The objects of other operations (an ephemeral container, a status) are not ours to change.
  if (request.operation !== 'CREATE' || request.subResource !== undefined) {
    return {
      answer: allowed(request, [], []),
      facts: { ...about, result: 'passed over', operation: request.operation },
    }
  }
  try {
    const composed = mutate(request.object, options)
    return reviewed(request, composed, about)
  } catch (thrown) {
    return refused(request, toCodedError(thrown), about)
  }
}

function reviewed(request: AdmissionRequest, composed: ComposedPod, about: JsonObject): Reviewed {
  const patch = compare(request.object, composed.pod)
  return {
    answer: allowed(request, patch, composed.warnings),
    facts: { ...about, result: patch.length > 0 ? 'patched' : 'unchanged' },
  }
}

function allowed(
  { uid }: AdmissionRequest,
  patch: readonly unknown[],
  warnings: readonly string[],
): Answer {
  return {
    status: 200,
    body: admissionReview({
      uid,
      allowed: true,
      // The API server refuses a patchType without a patch.
      ...(patch.length > 0 && {
        patchType: 'JSONPatch',
        patch: Buffer.from(JSON.stringify(patch)).toString('base64'),
      }),
      ...(warnings.length > 0 && { warnings }),
    }),
  }
}

function refused({ uid }: AdmissionRequest, error: CodedError, about: JsonObject): Reviewed {
  const verdict = VERDICTS[error.code]
  if (verdict.kind === 'failure') return failed(verdict.status, error, about)
  const { status: code, reason } = verdict
  const status = { status: 'Failure', message: error.message, reason, code }
  return {
    answer: { status: 200, body: admissionReview({ uid, allowed: false, status }) },
    facts: { ...about, result: 'denied', code: error.code, reason: error.message },
  }
}

function failed(status: number, error: CodedError, about: JsonObject): Reviewed {
  return {
    answer: { status, body: { message: error.message } },
    facts: { ...about, result: 'failed', reason: error.message, error },
  }
}

/** Who asks, for the log: controllers' pods have no name yet. */
function subjectOf({ uid, namespace, object }: AdmissionRequest): JsonObject {
  const metadata = objectAt(object, 'metadata')
  const owner = objectsAt(metadata, 'ownerReferences').find((one) => isTrueAt(one, 'controller'))
  const name = textAt(metadata, 'name') ?? textAt(metadata, 'generateName')
  return {
    uid,
    namespace: namespace ?? '',
    owner:
      owner === undefined
        ? `Pod/${name ?? '?'}`
        : `${textAt(owner, 'kind') ?? '?'}/${textAt(owner, 'name') ?? '?'}`,
  }
}

import type { Finding, Position } from '../common/composition/finding.ts'
import { type CodedError, type ErrorCode, isCodedError } from '../common/errors.ts'
import type { AdmissionPolicy } from '../webhook/admission-policy.ts'
import { type ComposedPod, compose } from '../webhook/compose.ts'
import {
  isJsonObject,
  isTrueAt,
  type JsonObject,
  objectAt,
  objectsAt,
  textAt,
} from '../webhook/json.ts'
import { findMisplaced } from '../webhook/workload-template.ts'
import { readWorkload, type Workload } from './workload.ts'

/** What objects of a file are reviewed with. */
export interface ReviewContext {
  /** Absent: none. */
  readonly policy?: AdmissionPolicy
  /** Of objects that name none; absent: it is not known. */
  readonly namespace?: string
}

/** Keys and indexes from an object to something in it. */
export type ObjectPath = readonly (string | number)[]

/** One thing that somebody should know about a workload, and where it stands in its document. */
export interface ObjectFinding {
  readonly severity: Finding['severity']
  /** Of an error. */
  readonly code?: ErrorCode
  /** Without the place in the annotation, which {@link position} has. */
  readonly message: string
  /** From the document to the workload: empty, or through the `items` of a list. */
  readonly workload: ObjectPath
  /** e.g. `Deployment/web` */
  readonly name: string
  /** From the workload to what the finding is about: an annotation as a rule. */
  readonly path: ObjectPath
  /** In the text at {@link path}. */
  readonly position?: Position
}

/** What becomes of an object. */
export interface ReviewedObject {
  /** The object itself where nothing changes: no workload, nothing asked for, denied, or composed already. */
  readonly composed: JsonObject
  readonly findings: readonly ObjectFinding[]
  /** How many workloads there are in it, those without annotations too. */
  readonly workloads: number
}

/**
 * Composes the workloads of an object, by the webhooks' own code, and finds what they would deny or warn of. Lists (`v1 List`, and the
 * `ResourceList` of KRM functions) are gone through item by item. Pure.
 *
 * It asks no cluster, so it sees neither the imagePullSecrets of a service account nor what other webhooks add.
 */
export function reviewObject(object: JsonObject, context: ReviewContext = {}): ReviewedObject {
  return review(object, context, [])
}

function review(object: JsonObject, context: ReviewContext, path: ObjectPath): ReviewedObject {
  if (isList(object)) return reviewItems(object, context, path)
  const workload = readWorkload(object)
  if (workload === undefined) return { composed: object, findings: [], workloads: 0 }
  const metadata = objectAt(object, 'metadata')
  // What the validating webhook passes over as well: finalizers and owners must be able to let go of it.
  if (textAt(metadata, 'deletionTimestamp') !== undefined) {
    return { composed: object, findings: [], workloads: 1 }
  }
  const found = (place: Omit<ObjectFinding, 'workload' | 'name'>) => ({
    ...place,
    ...{ workload: path, name: workload.name },
  })
  // Nobody mends what a controller has copied from its own object.
  const controlled = objectsAt(metadata, 'ownerReferences').some((one) =>
    isTrueAt(one, 'controller'),
  )
  const misplaced =
    controlled || workload.kind.template.length === 0 ? [] : findMisplaced(workload.kind, object)
  const verdict = compose(workload.template, { origin: 'template' })
  const refusals = verdict.kind === 'denied' ? [] : policyFindings(workload, verdict, context)
  const findings = [
    ...misplaced.map(({ key, path: at, warning }) =>
      found({ severity: 'warning', message: warning, path: [...at, key] }),
    ),
    ...[...refusals, ...verdict.findings].map((finding) => found(placed(workload, finding))),
  ]
  const stays =
    verdict.kind === 'denied' || refusals.length > 0 || verdict.pod === workload.template
  return { composed: stays ? object : workload.with(verdict.pod), findings, workloads: 1 }
}

function reviewItems(object: JsonObject, context: ReviewContext, path: ObjectPath): ReviewedObject {
  const items = Array.isArray(object['items']) ? object['items'] : []
  const reviewed = items.map((item: unknown, index) =>
    isJsonObject(item)
      ? review(item, context, [...path, 'items', index])
      : { composed: item, findings: [], workloads: 0 },
  )
  const same = reviewed.every(({ composed }, index) => composed === items[index])
  return {
    composed: same ? object : { ...object, items: reviewed.map(({ composed }) => composed) },
    findings: reviewed.flatMap(({ findings }) => findings),
    workloads: reviewed.reduce((sum, { workloads }) => sum + workloads, 0),
  }
}

function isList(object: JsonObject): boolean {
  const [apiVersion, kind] = [textAt(object, 'apiVersion'), textAt(object, 'kind')]
  return (apiVersion === 'v1' && kind === 'List') || isResourceList(object)
}

/** Answers whether an object is what a KRM function reads and writes; its versions have the same fields. */
export function isResourceList(object: JsonObject): boolean {
  const group = textAt(object, 'apiVersion')?.split('/')[0]
  return group === 'config.kubernetes.io' && textAt(object, 'kind') === 'ResourceList'
}

function policyFindings(
  workload: Workload,
  { composition }: ComposedPod,
  { policy, namespace }: ReviewContext,
): readonly Finding[] {
  if (policy === undefined) return []
  return composition.entries.flatMap((entry) => {
    const error = refusalOf(() =>
      policy.check({ entries: [entry] }, workload.namespace ?? namespace),
    )
    if (error === undefined) return []
    const { code, message } = error
    return [{ severity: 'error', code, message, problem: message, ...entry.place }]
  })
}

function refusalOf(check: () => void): CodedError | undefined {
  try {
    check()
    return undefined
  } catch (error) {
    if (isCodedError(error, 'DENIED')) return error
    throw error
  }
}

function placed({ kind }: Workload, finding: Finding) {
  const { severity, message, problem, path, annotation, position } = finding
  const isWhole = severity === 'warning' || message === problem || path === undefined
  return {
    severity,
    ...(finding.severity === 'error' && { code: finding.code }),
    message: isWhole ? problem : `Invalid ${path}: ${problem}`,
    path:
      annotation === undefined
        ? kind.template
        : [...kind.template, 'metadata', 'annotations', annotation],
    ...(position !== undefined && { position }),
  }
}

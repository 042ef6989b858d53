import { ANNOTATION_PREFIX, ANNOTATIONS } from '../common/composition/composition.ts'
import { warning } from '../common/composition/warning.ts'
import { type JsonObject, objectAt } from './json.ts'

/** How pods are made of a kind of workload. */
export interface WorkloadKind {
  /** e.g. `Deployment` */
  readonly name: string
  /** Keys from the object to its pod template, e.g. `["spec", "template"]`. */
  readonly template: readonly string[]
  /** Other objects with metadata of their own on the way, where an annotation has no effect either. */
  readonly between?: readonly { readonly name: string; readonly path: readonly string[] }[]
}

const POD_TEMPLATE = ['spec', 'template']
const JOB_TEMPLATE = ['spec', 'jobTemplate']

/** By the version and kind of an admission request; the configuration's `matchPolicy: Equivalent` sees to other versions. */
export const WORKLOAD_KINDS: ReadonlyMap<string, WorkloadKind> = new Map([
  ...['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet'].map(
    (name): [string, WorkloadKind] => [`apps/v1 ${name}`, { name, template: POD_TEMPLATE }],
  ),
  ['batch/v1 Job', { name: 'Job', template: POD_TEMPLATE }],
  [
    'batch/v1 CronJob',
    {
      name: 'CronJob',
      template: [...JOB_TEMPLATE, ...POD_TEMPLATE],
      between: [{ name: 'Job', path: JOB_TEMPLATE }],
    },
  ],
])

/** The object at the end of a path, or undefined where there is none. */
export function objectAlong(
  object: JsonObject | undefined,
  path: readonly string[],
): JsonObject | undefined {
  return path.reduce<JsonObject | undefined>(objectAt, object)
}

/** An annotation of ours that stands where it has no effect. */
export interface MisplacedAnnotation {
  readonly key: string
  /** Keys from the workload to its annotations, e.g. `["metadata", "annotations"]`. */
  readonly path: readonly string[]
  /** At most 120 characters; says where to move it. */
  readonly warning: string
}

/** Finds annotations of ours that stand where they have no effect: on the workload instead of its template. */
export function findMisplaced(
  { name, template, between = [] }: WorkloadKind,
  object: JsonObject,
): readonly MisplacedAnnotation[] {
  return [{ name, path: [] }, ...between].flatMap((holder) => {
    const path = [...holder.path, 'metadata', 'annotations']
    return Object.keys(objectAlong(object, path) ?? {})
      .filter((key) => key.startsWith(ANNOTATION_PREFIX) && key !== ANNOTATIONS.status)
      .map((key) => ({
        ...{ key, path },
        warning: warning(
          `${key} has no effect on a ${holder.name}; move it to ${template.join('.')}.metadata.annotations`,
        ),
      }))
  })
}

/** The warnings of {@link findMisplaced}. */
export function misplacedAnnotations(kind: WorkloadKind, object: JsonObject): readonly string[] {
  return findMisplaced(kind, object).map((found) => found.warning)
}

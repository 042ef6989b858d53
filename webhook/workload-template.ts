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

/**
 * Finds annotations of ours that stand where they have no effect: on the workload instead of its template.
 *
 * @returns warnings of at most 120 characters that say where to move them
 */
export function misplacedAnnotations(
  { name, template, between = [] }: WorkloadKind,
  object: JsonObject,
): readonly string[] {
  return [{ name, path: [] }, ...between].flatMap((holder) => {
    const metadata = objectAt(objectAlong(object, holder.path), 'metadata')
    return Object.keys(objectAt(metadata, 'annotations') ?? {})
      .filter((key) => key.startsWith(ANNOTATION_PREFIX) && key !== ANNOTATIONS.status)
      .map((key) =>
        warning(
          `${key} has no effect on a ${holder.name}; move it to ${template.join('.')}.metadata.annotations`,
        ),
      )
  })
}

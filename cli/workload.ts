import { type JsonObject, objectAt, textAt } from '../webhook/json.ts'
import { objectAlong, WORKLOAD_KINDS, type WorkloadKind } from '../webhook/workload-template.ts'

/** By apiVersion and kind: what the webhooks look at, and what else holds a pod template, of which pods come. */
const KINDS: ReadonlyMap<string, WorkloadKind> = new Map([
  ['v1 Pod', { name: 'Pod', template: [] }],
  ...WORKLOAD_KINDS,
  ['v1 ReplicationController', { name: 'ReplicationController', template: ['spec', 'template'] }],
  ['v1 PodTemplate', { name: 'PodTemplate', template: ['template'] }],
])

/** The names of the kinds, for messages. */
export const WORKLOAD_NAMES: readonly string[] = [...KINDS.values()].map(({ name }) => name)

/** A pod, or an object that makes pods. */
export interface Workload {
  /** e.g. `Deployment/web` */
  readonly name: string
  readonly kind: WorkloadKind
  /** Absent: whatever namespace it is applied to. */
  readonly namespace?: string
  /** The pod itself, or the pod template. */
  readonly template: JsonObject
  /** The workload with another template in the same place. */
  with(template: JsonObject): JsonObject
}

/** Reads an object as a workload; undefined for any other kind, and for one without a template. */
export function readWorkload(object: JsonObject): Workload | undefined {
  const kind = KINDS.get(`${textAt(object, 'apiVersion') ?? ''} ${textAt(object, 'kind') ?? ''}`)
  if (kind === undefined) return undefined
  const template = objectAlong(object, kind.template)
  if (template === undefined) return undefined
  const metadata = objectAt(object, 'metadata')
  const namespace = textAt(metadata, 'namespace')
  return {
    name: `${kind.name}/${textAt(metadata, 'name') ?? textAt(metadata, 'generateName') ?? '?'}`,
    kind,
    ...(namespace !== undefined && { namespace }),
    template,
    with: (replacement) => replaceAt(object, kind.template, replacement),
  }
}

function replaceAt(
  object: JsonObject,
  [key, ...rest]: readonly string[],
  replacement: JsonObject,
): JsonObject {
  if (key === undefined) return replacement
  return { ...object, [key]: replaceAt(objectAt(object, key) ?? {}, rest, replacement) }
}

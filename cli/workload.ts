import { type JsonObject, objectAt, textAt } from '../webhook/json.ts'

/** Where the pod template of a workload stands; a pod is its own. */
const TEMPLATE_PATHS: ReadonlyMap<string, readonly string[]> = new Map([
  ['v1 Pod', []],
  ['apps/v1 Deployment', ['spec', 'template']],
  ['apps/v1 StatefulSet', ['spec', 'template']],
  ['apps/v1 DaemonSet', ['spec', 'template']],
  ['apps/v1 ReplicaSet', ['spec', 'template']],
  ['batch/v1 Job', ['spec', 'template']],
  ['batch/v1 CronJob', ['spec', 'jobTemplate', 'spec', 'template']],
])

/** A pod, or an object that makes pods. */
export interface Workload {
  /** e.g. `Deployment/web` */
  readonly name: string
  /** The pod itself, or the pod template. */
  readonly template: JsonObject
  /** The workload with another template in the same place. */
  with(template: JsonObject): JsonObject
}

/** Reads an object as a workload; undefined for any other kind, and for one without a template. */
export function readWorkload(object: JsonObject): Workload | undefined {
  const kind = textAt(object, 'kind') ?? ''
  const path = TEMPLATE_PATHS.get(`${textAt(object, 'apiVersion') ?? ''} ${kind}`)
  if (path === undefined) return undefined
  const template = path.reduce<JsonObject | undefined>(objectAt, object)
  if (template === undefined) return undefined
  const metadata = objectAt(object, 'metadata')
  return {
    name: `${kind}/${textAt(metadata, 'name') ?? textAt(metadata, 'generateName') ?? '?'}`,
    template,
    with: (replacement) => replaceAt(object, path, replacement),
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

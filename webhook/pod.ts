import { posix } from 'node:path'
import { ANNOTATION_PREFIX } from '../common/composition/composition.ts'
import { faultAt } from '../common/composition/finding.ts'
import { CodedError } from '../common/errors.ts'
import { isJsonObject, isTrueAt, type JsonObject, objectAt, textAt } from './json.ts'

/** The lists of a pod's containers that are composed; ephemeral containers never are. */
export type ContainerList = 'initContainers' | 'containers'

/** A mount that a container has. */
export interface Mount {
  readonly volume: string
  /** Without a trailing slash. */
  readonly mountPath: string
  readonly readOnly: boolean
  readonly subPath?: string
  /** Has a `subPathExpr`, which only a user writes. */
  readonly expanded: boolean
}

/** A container as far as composing needs it. */
export interface Container {
  readonly list: ContainerList
  /** Where it stands in its list. */
  readonly index: number
  readonly name: string
  /** `app`, or `init:setup` for an init container. */
  readonly label: string
  readonly mounts: readonly Mount[]
  /** Block devices, and the file for the termination message when it is not where it usually is. */
  readonly otherPaths: readonly string[]
  /** e.g. `spec.containers[0]` */
  readonly path: string
  /** As it came. */
  readonly json: JsonObject
}

/** What composing needs to know about a pod. */
export interface PodFacts {
  /** Init containers first, as they run. */
  readonly containers: readonly Container[]
  readonly volumes: readonly JsonObject[]
  /** Distinct names, in their order. */
  readonly imagePullSecrets: readonly string[]
  /** What says that this is a Windows pod, e.g. `"spec.os.name" is "windows"`; absent: nothing. */
  readonly windows?: string
  /** Runs in a user namespace. */
  readonly ownUsers: boolean
}

/**
 * Picks the annotations of a pod or pod template.
 *
 * @throws INVALID when one under `oras.land/` is not text; others that are not are left out
 */
export function readAnnotations(pod: JsonObject): Readonly<Record<string, string>> {
  const annotations = objectAt(objectAt(pod, 'metadata'), 'annotations') ?? {}
  const texts: [string, string][] = []
  for (const [key, value] of Object.entries(annotations)) {
    if (typeof value === 'string') texts.push([key, value])
    else if (key.startsWith(ANNOTATION_PREFIX)) {
      const problem = `found ${typeof value}; expected text`
      throw faultAt(
        'INVALID',
        { path: key, annotation: key },
        `Invalid ${key}: ${problem}`,
        problem,
      )
    }
  }
  return Object.fromEntries(texts)
}

/**
 * Reads what composing needs to know about a pod.
 *
 * @throws INVALID when the pod is not shaped as a pod is
 */
export function readPod(pod: JsonObject): PodFacts {
  const spec = objectAt(pod, 'spec') ?? {}
  const secrets = readObjects(spec, 'spec', 'imagePullSecrets').map((one) => textAt(one, 'name'))
  return {
    containers: (['initContainers', 'containers'] as const).flatMap((list) =>
      readObjects(spec, 'spec', list).map((container, index) =>
        readContainer(container, list, index),
      ),
    ),
    volumes: readObjects(spec, 'spec', 'volumes'),
    imagePullSecrets: [...new Set(secrets.filter((name) => name !== undefined))],
    ...windowsOf(spec),
    ownUsers: spec['hostUsers'] === false,
  }
}

function windowsOf(spec: JsonObject): Pick<PodFacts, 'windows'> {
  if (textAt(objectAt(spec, 'os'), 'name') === 'windows') {
    return { windows: '"spec.os.name" is "windows"' }
  }
  const label = 'kubernetes.io/os'
  if (textAt(objectAt(spec, 'nodeSelector'), label) !== 'windows') return {}
  return { windows: `"spec.nodeSelector" has "${label}: windows"` }
}

function readContainer(container: JsonObject, list: ContainerList, index: number): Container {
  const path = `spec.${list}[${index}]`
  const name = textAt(container, 'name') ?? ''
  const devices = readObjects(container, path, 'volumeDevices').map((one) =>
    textAt(one, 'devicePath'),
  )
  const termination = textAt(container, 'terminationMessagePath')
  return {
    list,
    index,
    name,
    label: list === 'initContainers' ? `init:${name}` : name,
    mounts: readObjects(container, path, 'volumeMounts').map(readMount),
    otherPaths: [...devices, termination].filter((one) => one !== undefined).map(withoutSlash),
    path,
    json: container,
  }
}

function readMount(mount: JsonObject): Mount {
  const subPath = textAt(mount, 'subPath')
  return {
    volume: textAt(mount, 'name') ?? '',
    mountPath: withoutSlash(textAt(mount, 'mountPath') ?? ''),
    readOnly: isTrueAt(mount, 'readOnly'),
    ...(subPath !== undefined && { subPath }),
    expanded: textAt(mount, 'subPathExpr') !== undefined,
  }
}

/**
 * Reads a list of objects; an absent one and null are empty.
 *
 * @param path of the parent, for the message
 * @throws INVALID for anything else
 */
export function readObjects(parent: JsonObject, path: string, key: string): readonly JsonObject[] {
  const value = parent[key] ?? []
  if (Array.isArray(value) && value.every(isJsonObject)) return value
  throw new CodedError('INVALID', `Invalid pod: ${path}.${key} is not a list of objects`)
}

function withoutSlash(path: string): string {
  const normal = posix.normalize(path)
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal
}

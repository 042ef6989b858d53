import { invalidAt } from '../common/composition/annotation-value.ts'
import { attributeBytes } from '../common/composition/attributes.ts'
import { ANNOTATIONS, type Composition } from '../common/composition/composition.ts'
import { warning } from '../common/composition/warning.ts'
import { CodedError } from '../common/errors.ts'
import { MESH_SIDECARS, selectContainers } from './container-selection.ts'
import { type JsonObject, objectAt, objectsAt, textAt } from './json.ts'
import { mountJson, mountWarnings, type PlannedMount, planMounts } from './mount-plan.ts'
import { type Placement, placeEntries } from './placement.ts'
import { type ContainerList, type PodFacts, readPod } from './pod.ts'
import { compareVolume } from './present-volume.ts'
import { defaultPullSecret } from './pull-secret.ts'
import { statusText } from './status.ts'
import { type PlannedVolume, planVolumes, volumeJson } from './volume-plan.ts'

/** How pods are composed. */
export interface ComposeOptions {
  /** Regular containers that entries without `containers` pass over; default: those of known meshes. */
  readonly sidecars?: readonly string[]
}

/** A pod as it should be. */
export interface ComposedPod {
  /** Shares with the input whatever did not change; the input itself when nothing did. */
  readonly pod: JsonObject
  /** At most 120 characters each. */
  readonly warnings: readonly string[]
}

// The CSI specification's limit for a volume context, which the kubelet does not enforce.
const CSI_ATTRIBUTE_BYTES = 4096

/**
 * Makes of a pod (or pod template) what its composition asks for. No I/O, no clock; the input stays as it is.
 *
 * Convergent: only what is missing is added, so composing its own output changes nothing, and a container that came later
 * gets its mounts. All or nothing: it returns a whole pod or throws.
 *
 * @throws INVALID, CONFLICT naming the entry's place in the annotation
 */
export function compose(
  pod: JsonObject,
  composition: Composition,
  options: ComposeOptions = {},
): ComposedPod {
  const { entries } = composition
  if (entries.length === 0) return { pod, warnings: composition.warnings }
  const facts = readPod(pod)
  if (facts.windows) {
    throw new CodedError(
      'INVALID',
      `Cannot apply ${ANNOTATIONS.artifacts}: this is a Windows pod; expected a Linux one`,
    )
  }
  const secret = defaultPullSecret(entries, facts.imagePullSecrets)
  const placements = placeEntries(entries)
  if (facts.ownUsers) refuseWritable(placements)
  const volumes = planVolumes(placements, secret.name)
  const mounts = planAllMounts(placements, volumes, facts, options.sidecars ?? MESH_SIDECARS)
  const used = volumes.filter(({ name }) => mounts.some(({ volume }) => volume === name))
  const warnings = [
    ...composition.warnings,
    ...secret.warnings,
    ...used.flatMap(sizeWarning),
    ...mountWarnings(mounts),
  ]
  const before = objectAt(pod, 'spec') ?? {}
  const spec = withMounts(withVolumes(before, used, facts), mounts)
  return {
    pod: withStatus(spec === before ? pod : { ...pod, spec }, statusText(used, mounts)),
    warnings: [...new Set(warnings)],
  }
}

/** The kernel does not show an overlay to a user namespace under other ids. */
function refuseWritable(placements: readonly Placement[]): void {
  const writable = placements.find(({ readOnly }) => !readOnly)
  if (writable === undefined) return
  throw invalidAt(
    { path: writable.place },
    '"readOnly" is false, and the pod has "hostUsers: false"; a writable volume cannot be mounted in a user namespace: expected one of them only',
  )
}

function planAllMounts(
  placements: readonly Placement[],
  volumes: readonly PlannedVolume[],
  facts: PodFacts,
  sidecars: readonly string[],
): readonly PlannedMount[] {
  const wanted = placements.map((placement) => ({
    placement,
    volume: volumes.find((volume) => volume.placements.includes(placement))?.name ?? '',
    containers: new Set(selectContainers(placement, facts.containers, sidecars)),
  }))
  return facts.containers.flatMap((container) =>
    planMounts(
      container,
      wanted.filter(({ containers }) => containers.has(container)),
    ),
  )
}

function withVolumes(
  spec: JsonObject,
  planned: readonly PlannedVolume[],
  { volumes }: PodFacts,
): JsonObject {
  const result = [...volumes]
  for (const volume of planned) {
    const at = volumes.findIndex((present) => textAt(present, 'name') === volume.name)
    const change = compareVolume(volume, volumes[at])
    if (change === 'add') result.push(volumeJson(volume))
    if (change === 'replace') result[at] = volumeJson(volume)
  }
  const same = result.length === volumes.length && result.every((one, at) => one === volumes[at])
  return same ? spec : { ...spec, volumes: result }
}

function withMounts(spec: JsonObject, mounts: readonly PlannedMount[]): JsonObject {
  const missing = mounts.filter(({ present }) => !present)
  let result = spec
  for (const list of ['initContainers', 'containers'] as const) {
    const here = missing.filter(({ container }) => container.list === list)
    if (here.length > 0) result = { ...result, [list]: withMountsIn(result, list, here) }
  }
  return result
}

function withMountsIn(
  spec: JsonObject,
  list: ContainerList,
  mounts: readonly PlannedMount[],
): readonly unknown[] {
  return objectsAt(spec, list).map((container, index) => {
    const added = mounts.filter((mount) => mount.container.index === index).map(mountJson)
    if (added.length === 0) return container
    return { ...container, volumeMounts: [...objectsAt(container, 'volumeMounts'), ...added] }
  })
}

function withStatus(pod: JsonObject, status: string): JsonObject {
  const metadata = objectAt(pod, 'metadata') ?? {}
  const annotations = objectAt(metadata, 'annotations') ?? {}
  if (annotations[ANNOTATIONS.status] === status) return pod
  return {
    ...pod,
    metadata: { ...metadata, annotations: { ...annotations, [ANNOTATIONS.status]: status } },
  }
}

function sizeWarning({ name, attributes }: PlannedVolume): readonly string[] {
  const bytes = attributeBytes(attributes)
  if (bytes <= CSI_ATTRIBUTE_BYTES) return []
  return [
    warning(
      `Volume "${name}" has ${bytes} bytes of attributes; CSI allows for ${CSI_ATTRIBUTE_BYTES}`,
    ),
  ]
}

import { attributeBytes } from '../common/composition/attributes.ts'
import { ANNOTATIONS, type Composition, type Entry } from '../common/composition/composition.ts'
import {
  collectFindings,
  type FindingCollector,
  type Notice,
  warningAt,
} from '../common/composition/finding.ts'
import { formatReference } from '../common/oci/reference.ts'
import type { ComposeContext } from './compose.ts'
import { createContainerSelection, type SelectedContainers } from './container-selection.ts'
import { composeEnv, type PlannedEnv } from './environment.ts'
import { type JsonObject, objectAt, objectsAt, textAt } from './json.ts'
import { mountJson, mountWarnings, type PlannedMount, planMounts } from './mount-plan.ts'
import { type Placement, placeEntries } from './placement.ts'
import { type Container, type PodFacts, readPod } from './pod.ts'
import { compareVolume } from './present-volume.ts'
import { defaultPullSecret } from './pull-secret.ts'
import { statusText } from './status.ts'
import { refuseTooMany, refuseWritable, windowsPod } from './unfit-pod.ts'
import { type PlannedVolume, planVolumes, volumeJson } from './volume-plan.ts'

// The CSI specification's limit for a volume context, which the kubelet does not enforce.
const CSI_ATTRIBUTE_BYTES = 4096

/** A pod with its composition applied. */
export interface AppliedComposition {
  /** Shares with the input whatever did not change; the input itself when nothing did. */
  readonly pod: JsonObject
  readonly findings: readonly Notice[]
}

/**
 * Adds to a pod (or pod template) what its composition asks for and it has not: volumes, mounts, variables, the status.
 *
 * @throws INVALID, CONFLICT with everything that is wrong, and its place in the annotation
 * @see compose for what holds
 */
export function applyComposition(
  pod: JsonObject,
  composition: Composition,
  context: ComposeContext = {},
): AppliedComposition {
  const { entries } = composition
  if (entries.length === 0) return { pod, findings: composition.warnings }
  const facts = readPod(pod)
  if (facts.windows !== undefined) throw windowsPod(facts.windows)
  // Each step needs what the steps before it found in order; what is wrong in one of them is told together.
  const collector = collectFindings()
  const placements = collector.attempt(() => placeEntries(entries)) ?? []
  if (facts.ownUsers) refuseWritable(placements, collector)
  const selection = createContainerSelection(facts.containers, context, collector)
  for (const entry of entries) selection.of(entry)
  collector.finish()
  refuseTooMany(entries, selection)

  const secret = defaultPullSecret(entries, facts.imagePullSecrets)
  const volumes = planVolumes(placements, secret.name)
  const mounts = planAllMounts(placements, volumes, { facts, selection, collector })
  const env = planAllEnv(entries, { facts, selection, collector })
  const used = volumes.filter(({ name }) => mounts.some(({ volume }) => volume === name))
  const before = objectAt(pod, 'spec') ?? {}
  const withAllVolumes = withVolumes(before, used, facts, collector)
  collector.finish()

  const spec = withContainers(withAllVolumes, facts, mounts, env)
  return {
    pod: withStatus(spec === before ? pod : { ...pod, spec }, statusText(used, mounts, env)),
    findings: unique([
      ...composition.warnings,
      ...(context.origin === 'template' ? entries.flatMap(movingTagWarning) : []),
      ...selection.warnings,
      ...secret.warnings,
      ...used.flatMap(sizeWarning),
      ...mountWarnings(mounts),
      ...env.flatMap(({ warnings }) => warnings),
    ]),
  }
}

interface Steps {
  readonly facts: PodFacts
  readonly selection: SelectedContainers
  readonly collector: FindingCollector
}

function planAllMounts(
  placements: readonly Placement[],
  volumes: readonly PlannedVolume[],
  { facts, selection, collector }: Steps,
): readonly PlannedMount[] {
  const wanted = placements.map((placement) => ({
    placement,
    volume: volumes.find((volume) => volume.placements.includes(placement))?.name ?? '',
    containers: selection.of(placement),
  }))
  return planMounts(facts.containers, wanted, collector)
}

function planAllEnv(
  entries: readonly Entry[],
  { facts, selection, collector }: Steps,
): readonly PlannedEnv[] {
  const withRules = entries.filter(({ env }) => env !== undefined)
  if (withRules.length === 0) return []
  return facts.containers.flatMap((container) => {
    const rules = withRules
      .filter((entry) => selection.of(entry).has(container))
      .flatMap(({ env = [] }) => env)
    return rules.length === 0 ? [] : [composeEnv(container, rules, collector)]
  })
}

function withVolumes(
  spec: JsonObject,
  planned: readonly PlannedVolume[],
  { volumes }: PodFacts,
  collector: FindingCollector,
): JsonObject {
  const result = [...volumes]
  for (const volume of planned) {
    const at = volumes.findIndex((present) => textAt(present, 'name') === volume.name)
    const change = collector.attempt(() => compareVolume(volume, volumes[at]))
    if (change === 'add') result.push(volumeJson(volume))
    if (change === 'replace') result[at] = volumeJson(volume)
  }
  const same = result.length === volumes.length && result.every((one, at) => one === volumes[at])
  return same ? spec : { ...spec, volumes: result }
}

function withContainers(
  spec: JsonObject,
  { containers }: PodFacts,
  mounts: readonly PlannedMount[],
  env: readonly PlannedEnv[],
): JsonObject {
  const missing = Map.groupBy(
    mounts.filter(({ present }) => !present),
    ({ container }) => container,
  )
  const variables = new Map(env.map(({ container, after }) => [container, after]))
  let result = spec
  for (const list of ['initContainers', 'containers'] as const) {
    const here = containers.filter((container) => container.list === list)
    const after = here.map((container) =>
      withAdded(container, missing.get(container) ?? [], variables.get(container)),
    )
    const same = after.every((json, index) => json === here[index]?.json)
    if (!same) result = { ...result, [list]: after }
  }
  return result
}

function withAdded(
  { json }: Container,
  mounts: readonly PlannedMount[],
  env: readonly JsonObject[] | undefined,
): JsonObject {
  if (mounts.length === 0 && env === undefined) return json
  return {
    ...json,
    ...(env !== undefined && { env }),
    ...(mounts.length > 0 && {
      volumeMounts: [...objectsAt(json, 'volumeMounts'), ...mounts.map(mountJson)],
    }),
  }
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

function sizeWarning({ name, place, attributes }: PlannedVolume): readonly Notice[] {
  const bytes = attributeBytes(attributes)
  if (bytes <= CSI_ATTRIBUTE_BYTES) return []
  const text = `Volume "${name}" has ${bytes} bytes of attributes; CSI allows for ${CSI_ATTRIBUTE_BYTES}`
  return [warningAt(place, text)]
}

function movingTagWarning({ place, reference }: Entry): readonly Notice[] {
  if (reference.digest !== undefined || reference.tag !== 'latest') return []
  const text = `Tag "latest" moves: pods may differ; expected a version or digest in "${formatReference(reference)}"`
  return [warningAt(place, text)]
}

function unique(findings: readonly Notice[]): readonly Notice[] {
  return [...new Map(findings.map((finding) => [finding.message, finding])).values()]
}

import { isDeepStrictEqual } from 'node:util'
import { ATTRIBUTES } from '../common/composition/attribute-name.ts'
import { DRIVER_NAME } from '../common/composition/composition.ts'
import { faultAt } from '../common/composition/finding.ts'
import { type JsonObject, objectAt, textAt } from './json.ts'
import { type PlannedVolume, volumeJson } from './volume-plan.ts'

/** What to do about a planned volume. */
export type VolumeChange = 'none' | 'add' | 'replace'

/**
 * Compares a planned volume with the pod's volume of that name.
 *
 * One that differs in the secret alone, where the secret is the pod's default, is replaced: another webhook gave the pod
 * an imagePullSecret after this one ran.
 *
 * @throws CONFLICT when the pod has a volume of that name with other content, naming both
 */
export function compareVolume(
  planned: PlannedVolume,
  present: JsonObject | undefined,
): VolumeChange {
  if (present === undefined) return 'add'
  const wanted = volumeJson(planned)
  if (isDeepStrictEqual(present, wanted)) return 'none'
  if (planned.secretByDefault && isDeepStrictEqual(withoutSecret(present), withoutSecret(wanted))) {
    return 'replace'
  }
  throw faultAt(
    'CONFLICT',
    planned.place,
    `Cannot add volume "${planned.name}" for ${planned.place.path}: the pod has one of that name with other content: ${summary(present)}, not ${summary(wanted)}; expected "name" in the entry to name it otherwise`,
  )
}

function withoutSecret(volume: JsonObject): JsonObject {
  const { nodePublishSecretRef: _, ...csi } = objectAt(volume, 'csi') ?? {}
  return { ...volume, csi }
}

/** `emptyDir`, or for one of ours its reference and secret. */
function summary(volume: JsonObject): string {
  const csi = objectAt(volume, 'csi')
  if (csi === undefined) {
    return JSON.stringify(Object.keys(volume).find((key) => key !== 'name') ?? 'nothing')
  }
  const driver = textAt(csi, 'driver') ?? 'no driver'
  if (driver !== DRIVER_NAME) return `driver "${driver}"`
  const attributes = Object.entries(objectAt(csi, 'volumeAttributes') ?? {})
  const shown = attributes.map(([key, value]) => {
    return key === ATTRIBUTES.reference ? JSON.stringify(value) : `${key}=${JSON.stringify(value)}`
  })
  const secret = textAt(objectAt(csi, 'nodePublishSecretRef'), 'name')
  return [...shown, secret === undefined ? 'no secret' : `secret "${secret}"`]
    .join(' ')
    .slice(0, 300)
}

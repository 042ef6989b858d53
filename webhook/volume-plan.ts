import { encodeAttributes } from '../common/composition/attributes.ts'
import { DRIVER_NAME, type Source, type VolumeSpec } from '../common/composition/composition.ts'
import { invalidAt, type Place } from '../common/composition/finding.ts'
import { isCodedError } from '../common/errors.ts'
import { formatReference } from '../common/oci/reference.ts'
import type { JsonObject } from './json.ts'
import type { Placement } from './placement.ts'
import { nameVolumes } from './volume-name.ts'

/** One volume that a composition asks for. */
export interface PlannedVolume {
  readonly name: string
  /** Where its first entry stands, for messages. */
  readonly place: Place
  readonly sources: readonly Source[]
  /** Where it is mounted. */
  readonly placements: readonly Placement[]
  /** The secret is the pod's only imagePullSecret, not one that the annotations name. */
  readonly secretByDefault: boolean
  readonly readOnly: boolean
  readonly secret?: string
  readonly attributes: Readonly<Record<string, string>>
}

/**
 * Sorts placements into volumes: the same sources with the same secret are one volume, wherever it is mounted; a writable one is another.
 *
 * Names and attributes depend on the annotations alone, so that they are the same when the webhook runs again.
 *
 * @param defaultSecret for those that name none
 * @throws INVALID when two volumes are given one name, or attributes pass their limit
 */
export function planVolumes(
  placements: readonly Placement[],
  defaultSecret: string | undefined,
): readonly PlannedVolume[] {
  const groups: Group[] = []
  for (const placement of placements) {
    const identity = identityOf(placement)
    const { name } = placement
    const group = groups.find(
      (candidate) =>
        candidate.identity === identity &&
        (name === undefined || candidate.name === undefined || candidate.name === name),
    )
    if (group === undefined) {
      groups.push({ identity, first: placement, name, placements: [placement] })
    } else {
      group.name ??= name
      group.placements.push(placement)
    }
  }
  const names = nameVolumes(
    groups.map(({ identity, first, name }) => ({
      place: first.place,
      mountPath: first.mountPath,
      identity,
      ...(name !== undefined && { wanted: name }),
    })),
  )
  return groups.map((group, index) => planned(group, names[index] ?? '', defaultSecret))
}

/** Writes the volume as it stands in `spec.volumes`. */
export function volumeJson(volume: PlannedVolume): JsonObject {
  return {
    name: volume.name,
    csi: {
      driver: DRIVER_NAME,
      readOnly: volume.readOnly,
      ...(volume.secret !== undefined && { nodePublishSecretRef: { name: volume.secret } }),
      volumeAttributes: volume.attributes,
    },
  }
}

interface Group {
  readonly identity: string
  readonly first: Placement
  name: string | undefined
  readonly placements: Placement[]
}

function identityOf({ sources, pullSecret, readOnly }: Placement): string {
  const identities = sources.map(({ reference, pullPolicy, ...content }) => {
    const identity = [formatReference(reference), pullPolicy ?? null, pullSecret ?? null]
    // Alone where it is absent, so that names of volumes do not change with fields that come later.
    return Object.keys(content).length > 0 ? [...identity, content] : identity
  })
  // As above, for volumes of one source, and for read-only ones.
  const identity = identities.length > 1 ? identities : identities[0]
  return JSON.stringify(readOnly ? identity : ['writable', identity])
}

function planned(group: Group, name: string, defaultSecret: string | undefined): PlannedVolume {
  const { place, pullSecret, sources, readOnly } = group.first
  const subPaths = group.placements
    .map(({ subPath }) => subPath)
    .filter((path) => path !== undefined)
  const secret = (pullSecret ?? defaultSecret) || undefined
  return {
    name,
    place,
    sources,
    placements: group.placements,
    secretByDefault: pullSecret === undefined,
    readOnly,
    ...(secret !== undefined && { secret }),
    attributes: encoded(place, {
      sources,
      subPaths: [...new Set(subPaths)],
      ...(!readOnly && { writable: true }),
      plainHttp: false,
      insecure: false,
    }),
  }
}

/** Says for which entry the attributes are too many. */
function encoded(place: Place, volume: VolumeSpec): Readonly<Record<string, string>> {
  try {
    return encodeAttributes(volume)
  } catch (cause) {
    if (!isCodedError(cause, 'INVALID')) throw cause
    throw invalidAt(place, lowerFirst(cause.message), { cause })
  }
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}

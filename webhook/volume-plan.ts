import { encodeAttributes } from '../common/composition/attributes.ts'
import { DRIVER_NAME, type Entry, type Source } from '../common/composition/composition.ts'
import { formatReference } from '../common/oci/reference.ts'
import type { JsonObject } from './json.ts'
import { nameVolumes } from './volume-name.ts'

/** One volume that a composition asks for. */
export interface PlannedVolume {
  readonly name: string
  /** Where its first entry stands, for messages. */
  readonly place: string
  readonly source: Source
  /** The entries that mount it. */
  readonly entries: readonly Entry[]
  /** The secret is the pod's only imagePullSecret, not one that the annotations name. */
  readonly secretByDefault: boolean
  readonly secret?: string
  readonly attributes: Readonly<Record<string, string>>
}

/**
 * Sorts entries into volumes: the same source with the same secret is one volume, wherever it is mounted.
 *
 * Names and attributes depend on the annotations alone, so that they are the same when the webhook runs again.
 *
 * @param defaultSecret for entries that name none
 * @throws INVALID when two volumes are given one name, or attributes pass their limit
 */
export function planVolumes(
  entries: readonly Entry[],
  defaultSecret: string | undefined,
): readonly PlannedVolume[] {
  const groups: Group[] = []
  for (const entry of entries) {
    const identity = identityOf(entry)
    const group = groups.find(
      (candidate) =>
        candidate.identity === identity &&
        (entry.name === undefined || candidate.name === undefined || candidate.name === entry.name),
    )
    if (group === undefined) {
      groups.push({ identity, first: entry, name: entry.name, entries: [entry] })
    } else {
      group.name ??= entry.name
      group.entries.push(entry)
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
      readOnly: true,
      ...(volume.secret !== undefined && { nodePublishSecretRef: { name: volume.secret } }),
      volumeAttributes: volume.attributes,
    },
  }
}

interface Group {
  readonly identity: string
  readonly first: Entry
  name: string | undefined
  readonly entries: Entry[]
}

function identityOf({ reference, pullPolicy, pullSecret }: Entry): string {
  return JSON.stringify([formatReference(reference), pullPolicy ?? null, pullSecret ?? null])
}

function planned(group: Group, name: string, defaultSecret: string | undefined): PlannedVolume {
  const { place, reference, pullPolicy, pullSecret } = group.first
  const source = { reference, ...(pullPolicy !== undefined && { pullPolicy }) }
  const subPaths = group.entries.map(({ subPath }) => subPath).filter((path) => path !== undefined)
  const secret = (pullSecret ?? defaultSecret) || undefined
  return {
    name,
    place,
    source,
    entries: group.entries,
    secretByDefault: pullSecret === undefined,
    ...(secret !== undefined && { secret }),
    attributes: encodeAttributes({
      sources: [source],
      subPaths: [...new Set(subPaths)],
      plainHttp: false,
      insecure: false,
    }),
  }
}

import { type Entry, type Source, sourceOf } from '../common/composition/composition.ts'
import { formatContainerSelectors } from '../common/composition/container-selector.ts'
import { invalidAt } from '../common/composition/finding.ts'

/** What all entries at one mount path have in common, and what each of them contributes. */
export interface Placement extends Omit<Entry, keyof Source | 'env'> {
  /** In the order written: a later one's files replace an earlier one's. */
  readonly sources: readonly Source[]
}

/** What entries that share a mount path must agree on: a volume is mounted in one way, and has one secret. */
const SHARED = ['readOnly', 'subPath', 'pullSecret'] as const

/**
 * Puts entries with the same mount path and the same `containers` together: they are one volume with several sources. Entries for different
 * containers stay apart; whether they meet after all, only a pod can tell.
 *
 * @throws INVALID when they do not agree on how the volume is mounted
 */
export function placeEntries(entries: readonly Entry[]): readonly Placement[] {
  const placements: Placement[] = []
  for (const entry of entries) {
    const at = placements.findIndex(
      ({ mountPath, containers }) =>
        mountPath === entry.mountPath &&
        formatContainerSelectors(containers) === formatContainerSelectors(entry.containers),
    )
    const first = placements[at]
    if (first === undefined) placements.push(placementOf(entry))
    else placements[at] = joined(first, entry)
  }
  return placements
}

function placementOf(entry: Entry): Placement {
  const { place, mountPath, name, containers, subPath, pullSecret, readOnly } = entry
  return {
    ...{ place, mountPath, readOnly, sources: [sourceOf(entry)] },
    ...(name !== undefined && { name }),
    ...(containers !== undefined && { containers }),
    ...(subPath !== undefined && { subPath }),
    ...(pullSecret !== undefined && { pullSecret }),
  }
}

function joined(first: Placement, entry: Entry): Placement {
  const different = SHARED.find((field) => first[field] !== entry[field])
  if (different !== undefined) throw disagreement(different, first, entry)
  const { name = entry.name } = first
  if (entry.name !== undefined && entry.name !== name) throw disagreement('name', first, entry)
  return {
    ...first,
    ...(name !== undefined && { name }),
    sources: [...first.sources, sourceOf(entry)],
  }
}

function disagreement(
  field: (typeof SHARED)[number] | 'name',
  first: Placement,
  { place, mountPath, ...entry }: Entry,
) {
  const said = (value: string | boolean | undefined) =>
    value === undefined ? 'none' : JSON.stringify(value)
  return invalidAt(
    place,
    `it shares "${mountPath}" with ${first.place.path}, and "${field}" is ${said(entry[field])} here and ${said(first[field])} there; artifacts at one mount path are one volume: expected the same`,
  )
}

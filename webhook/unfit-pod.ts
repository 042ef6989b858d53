import { ANNOTATIONS, type Entry, LIMITS } from '../common/composition/composition.ts'
import { type FindingCollector, faultAt, invalidAt } from '../common/composition/finding.ts'
import type { SelectedContainers } from './container-selection.ts'
import type { Placement } from './placement.ts'

/** Makes the error for a Windows pod. @param why what says that it is one */
export function windowsPod(why: string) {
  return faultAt(
    'INVALID',
    { annotation: ANNOTATIONS.artifacts, path: ANNOTATIONS.artifacts },
    `Cannot apply ${ANNOTATIONS.artifacts}: this is a Windows pod: ${why}; expected a Linux one`,
  )
}

/**
 * Refuses what would not fit into a pod.
 *
 * The attack: a pod of a hundred thousand containers, for which one annotation asks for millions of mounts.
 *
 * @throws INVALID
 */
export function refuseTooMany(entries: readonly Entry[], selection: SelectedContainers): void {
  let mounts = 0
  let variables = 0
  for (const entry of entries) {
    const containers = selection.of(entry).size
    mounts += containers
    variables += containers * (entry.env?.length ?? 0)
  }
  const [count, what] = mounts > variables ? [mounts, 'mounts'] : [variables, 'variables']
  if (count <= LIMITS.additionsPerPod) return
  throw faultAt(
    'INVALID',
    { annotation: ANNOTATIONS.artifacts, path: ANNOTATIONS.artifacts },
    `Cannot apply ${ANNOTATIONS.artifacts}: it asks for ${count} ${what} in this pod; expected at most ${LIMITS.additionsPerPod}, e.g. by "containers"`,
  )
}

/** Tells of each writable volume in a pod with a user namespace: the kernel does not show an overlay there under other ids. */
export function refuseWritable(
  placements: readonly Placement[],
  collector: FindingCollector,
): void {
  for (const { place, readOnly } of placements) {
    if (readOnly) continue
    collector.attempt(() => {
      throw invalidAt(
        place,
        '"readOnly" is false, and the pod has "hostUsers: false"; a writable volume cannot be mounted in a user namespace: expected one of them only',
      )
    })
  }
}

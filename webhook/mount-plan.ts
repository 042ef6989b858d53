import { isWithin } from '../common/composition/file-path.ts'
import {
  type FindingCollector,
  invalidAt,
  type Notice,
  warningAt,
} from '../common/composition/finding.ts'
import type { JsonObject } from './json.ts'
import type { Placement } from './placement.ts'
import type { Container, Mount } from './pod.ts'

/** One mount that a composition asks for in one container. */
export interface PlannedMount {
  readonly container: Container
  readonly volume: string
  readonly placement: Placement
  /** The container has it, from an earlier run. */
  readonly present: boolean
}

/** Writes the mount as it stands in `volumeMounts`. */
export function mountJson({ volume, placement }: PlannedMount): JsonObject {
  const { mountPath, subPath, readOnly } = placement
  return {
    ...{ name: volume, mountPath },
    // Left away by the API server where it is false.
    ...(readOnly && { readOnly }),
    ...(subPath !== undefined && { subPath }),
  }
}

/** A placement, and where it goes in this pod. */
export interface WantedMount {
  readonly placement: Placement
  /** The name of its volume. */
  readonly volume: string
  readonly containers: ReadonlySet<Container>
}

/**
 * Plans the mounts of a pod, container by container.
 *
 * @param wanted in the order written
 * @param collector is told of paths that are taken, by another mount or by another entry, or lie inside another read-only entry's path
 */
export function planMounts(
  containers: readonly Container[],
  wanted: readonly WantedMount[],
  { attempt }: FindingCollector,
): readonly PlannedMount[] {
  // Compared once, not for each container: a pod may have thousands.
  const touching = wanted.flatMap((second, index) =>
    wanted
      .slice(0, index)
      .filter((first) => touches(first.placement, second.placement))
      .map((first) => [first, second] as const),
  )
  return containers.flatMap((container) => {
    for (const [first, second] of touching) {
      if (first.containers.has(container) && second.containers.has(container)) {
        attempt(() => checkApart(container, first.placement, second.placement))
      }
    }
    return wanted
      .filter((one) => one.containers.has(container))
      .map(({ placement, volume }) => ({
        container,
        volume,
        placement,
        present: attempt(() => isPresent(container, placement, volume)) ?? false,
      }))
  })
}

/**
 * Tells of mounts that work only when a directory is there to mount them on: in a read-only one none can be made.
 */
export function mountWarnings(mounts: readonly PlannedMount[]): readonly Notice[] {
  return mounts.flatMap(({ container, placement: { place, mountPath, readOnly } }) => {
    const others = container.mounts.filter((mount) => mount.mountPath !== mountPath)
    const inside = others
      .map((mount) => mount.mountPath)
      .concat(container.otherPaths)
      .filter((path) => readOnly && path !== mountPath && isWithin(path, mountPath))
    const around = others.filter((mount) => mount.readOnly && isWithin(mountPath, mount.mountPath))
    return [
      ...inside.map(
        (path) => `${container.label}: the artifact at "${mountPath}" must hold "${path}"`,
      ),
      ...around.map(
        (mount) => `${container.label}: volume "${mount.volume}" must hold "${mountPath}"`,
      ),
    ].map((text) => warningAt(place, `${text}, where something is mounted`))
  })
}

function touches(one: Placement, other: Placement): boolean {
  return isWithin(one.mountPath, other.mountPath) || isWithin(other.mountPath, one.mountPath)
}

function checkApart(container: Container, first: Placement, second: Placement): void {
  if (first.mountPath === second.mountPath) {
    throw invalidAt(
      second.place,
      `"${second.mountPath}" of container "${container.label}" is that of ${first.place.path} already; artifacts at one mount path are one volume: expected the same "containers"`,
    )
  }
  for (const [inner, outer] of [
    [first, second],
    [second, first],
  ] as const) {
    if (!outer.readOnly || !isWithin(inner.mountPath, outer.mountPath)) continue
    throw invalidAt(
      inner.place,
      `"${inner.mountPath}" lies inside "${outer.mountPath}" of ${outer.place.path}, which is read-only; expected a path outside it`,
    )
  }
}

function isPresent(container: Container, placement: Placement, volume: string): boolean {
  const { mountPath, place } = placement
  const taken = container.mounts.find((mount) => mount.mountPath === mountPath)
  if (taken !== undefined) {
    if (isSame(taken, placement, volume)) return true
    throw invalidAt(
      place,
      `container "${container.label}" mounts volume "${taken.volume}" at "${mountPath}" already; expected a free path`,
    )
  }
  if (container.otherPaths.includes(mountPath)) {
    throw invalidAt(
      place,
      `container "${container.label}" uses "${mountPath}" for a block device or its termination message; expected a free path`,
    )
  }
  return false
}

function isSame(mount: Mount, { subPath, readOnly }: Placement, volume: string): boolean {
  return (
    mount.volume === volume &&
    mount.readOnly === readOnly &&
    mount.subPath === subPath &&
    !mount.expanded
  )
}

import { invalidAt } from '../common/composition/annotation-value.ts'
import { isWithin } from '../common/composition/file-path.ts'
import { warning } from '../common/composition/warning.ts'
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

/**
 * Plans the mounts of one container.
 *
 * @param wanted placements and the volume of each, in the order written
 * @throws INVALID when a path is taken, by another mount or by another entry, or lies inside another read-only entry's path
 */
export function planMounts(
  container: Container,
  wanted: readonly { readonly placement: Placement; readonly volume: string }[],
): readonly PlannedMount[] {
  for (const [index, { placement }] of wanted.entries()) {
    for (const { placement: other } of wanted.slice(0, index)) {
      checkApart(container, other, placement)
    }
  }
  return wanted.map(({ placement, volume }) => ({
    container,
    volume,
    placement,
    present: isPresent(container, placement, volume),
  }))
}

/**
 * Tells of mounts that work only when a directory is there to mount them on: in a read-only one none can be made.
 */
export function mountWarnings(mounts: readonly PlannedMount[]): readonly string[] {
  return mounts.flatMap(({ container, placement: { mountPath, readOnly } }) => {
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
    ].map((text) => warning(`${text}, where something is mounted`))
  })
}

function checkApart(container: Container, first: Placement, second: Placement): void {
  const at = { path: second.place }
  if (first.mountPath === second.mountPath) {
    throw invalidAt(
      at,
      `"${second.mountPath}" of container "${container.label}" is that of ${first.place} already; artifacts at one mount path are one volume: expected the same "containers"`,
    )
  }
  for (const [inner, outer] of [
    [first, second],
    [second, first],
  ] as const) {
    if (!outer.readOnly || !isWithin(inner.mountPath, outer.mountPath)) continue
    throw invalidAt(
      { path: inner.place },
      `"${inner.mountPath}" lies inside "${outer.mountPath}" of ${outer.place}, which is read-only; expected a path outside it`,
    )
  }
}

function isPresent(container: Container, placement: Placement, volume: string): boolean {
  const { mountPath, place } = placement
  const taken = container.mounts.find((mount) => mount.mountPath === mountPath)
  if (taken !== undefined) {
    if (isSame(taken, placement, volume)) return true
    throw invalidAt(
      { path: place },
      `container "${container.label}" mounts volume "${taken.volume}" at "${mountPath}" already; expected a free path`,
    )
  }
  if (container.otherPaths.includes(mountPath)) {
    throw invalidAt(
      { path: place },
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

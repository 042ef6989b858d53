import { invalidAt } from '../common/composition/annotation-value.ts'
import type { Entry } from '../common/composition/composition.ts'
import { isWithin } from '../common/composition/file-path.ts'
import { warning } from '../common/composition/warning.ts'
import type { JsonObject } from './json.ts'
import type { Container, Mount } from './pod.ts'

/** One mount that a composition asks for in one container. */
export interface PlannedMount {
  readonly container: Container
  readonly volume: string
  readonly entry: Entry
  /** The container has it, from an earlier run. */
  readonly present: boolean
}

/** Writes the mount as it stands in `volumeMounts`. */
export function mountJson({ volume, entry }: PlannedMount): JsonObject {
  const { mountPath, subPath } = entry
  return { name: volume, mountPath, readOnly: true, ...(subPath !== undefined && { subPath }) }
}

/**
 * Plans the mounts of one container.
 *
 * @param wanted entries and the volume of each, in the order written
 * @throws INVALID when a path is taken, by another mount or by another entry, or lies inside another entry's path
 */
export function planMounts(
  container: Container,
  wanted: readonly { readonly entry: Entry; readonly volume: string }[],
): readonly PlannedMount[] {
  for (const [index, { entry }] of wanted.entries()) {
    for (const { entry: other } of wanted.slice(0, index)) checkApart(container, other, entry)
  }
  return wanted.map(({ entry, volume }) => ({
    container,
    volume,
    entry,
    present: isPresent(container, entry, volume),
  }))
}

/**
 * Tells of mounts that work only when a directory is there to mount them on: in a read-only one none can be made.
 */
export function mountWarnings(mounts: readonly PlannedMount[]): readonly string[] {
  return mounts.flatMap(({ container, entry: { mountPath } }) => {
    const others = container.mounts.filter((mount) => mount.mountPath !== mountPath)
    const inside = others
      .map((mount) => mount.mountPath)
      .concat(container.otherPaths)
      .filter((path) => path !== mountPath && isWithin(path, mountPath))
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

function checkApart(container: Container, first: Entry, second: Entry): void {
  const at = { path: second.place }
  if (first.mountPath === second.mountPath) {
    throw invalidAt(
      at,
      `"${second.mountPath}" of container "${container.label}" is that of ${first.place} already; several artifacts at one mount path are not supported by this version yet`,
    )
  }
  for (const [inner, outer] of [
    [first, second],
    [second, first],
  ] as const) {
    if (!isWithin(inner.mountPath, outer.mountPath)) continue
    throw invalidAt(
      { path: inner.place },
      `"${inner.mountPath}" lies inside "${outer.mountPath}" of ${outer.place}, which is read-only; expected a path outside it`,
    )
  }
}

function isPresent(container: Container, entry: Entry, volume: string): boolean {
  const { mountPath, place } = entry
  const taken = container.mounts.find((mount) => mount.mountPath === mountPath)
  if (taken !== undefined) {
    if (isSame(taken, entry, volume)) return true
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

function isSame(mount: Mount, entry: Entry, volume: string): boolean {
  return (
    mount.volume === volume && mount.readOnly && mount.subPath === entry.subPath && !mount.expanded
  )
}

import type { MountEntry } from './mountinfo.ts'

/** The directories of an overlay: absolute paths without `,`, `:` and `\`, which mean something to the kernel. */
export interface OverlayLayers {
  readonly lower: string
  /** On the same file system as `work`; neither is used by another overlay. */
  readonly upper: string
  /** Empty. */
  readonly work: string
}

/**
 * Makes and ends the mounts of volumes. Implementations share one conformance suite.
 *
 * What is mounted is known from mountinfo: comparing device numbers does not show a bind mount of the same file system. Whether anything is, the
 * kernel says of the path itself (`STATX_ATTR_MOUNT_ROOT`), so that publishing costs as much on a node with thousands of mounts.
 */
export interface Mounter {
  /**
   * Shows the directory `source` at the directory `target`, read-only, nosuid and nodev, in every mount namespace that the mount
   * propagates to, from the moment it appears.
   *
   * @throws INTERNAL naming the system's error; nothing is mounted then
   */
  mountReadOnly(source: string, target: string): Promise<void>

  /**
   * Shows the directory `lower` at the directory `target`, nosuid and nodev from the moment it appears. What is written there goes to `upper`, and
   * nothing of `lower` changes.
   *
   * @throws INTERNAL naming the system's error; nothing is mounted then
   */
  mountWritable(layers: OverlayLayers, target: string): Promise<void>

  /**
   * Unmounts until nothing is mounted at `target`; does nothing when nothing is.
   *
   * @throws UNAVAILABLE when a mount there is in use
   */
  unmountAll(target: string): Promise<void>

  /** Answers whether anything is mounted at exactly `target`; costs the same however many mounts the node has. */
  isMounted(target: string): Promise<boolean>

  /** Every mount at exactly `target`, bottom first. */
  mountsAt(target: string): Promise<readonly MountEntry[]>
}

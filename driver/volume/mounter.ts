import type { MountEntry } from './mountinfo.ts'

/**
 * Makes and ends the mounts of volumes. Implementations share one conformance suite.
 *
 * What is mounted is known from mountinfo only: comparing device numbers does not show a bind mount of the same file system.
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
   * Unmounts until nothing is mounted at `target`; does nothing when nothing is.
   *
   * @throws UNAVAILABLE when a mount there is in use
   */
  unmountAll(target: string): Promise<void>

  /** Every mount at exactly `target`, bottom first. */
  mountsAt(target: string): Promise<readonly MountEntry[]>
}

import { mkdirSync, rmdirSync } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CodedError, isSystemError, messageOf } from '../../common/errors.ts'
import {
  attachReadOnlyClone,
  bindMount,
  makePrivate,
  mountOverlay,
  remountReadOnly,
  unmount,
  unmountInBackground,
} from '../linux/mount.ts'
import { lookAt, mountFlags } from '../linux/mount-root.ts'
import type { Mounter, OverlayLayers } from './mounter.ts'
import { type MountEntry, readMounts } from './mountinfo.ts'
import { overlayOptions } from './overlay-options.ts'

/** How often a target is unmounted before stacked mounts are taken for a fault: the kubelet stacks a handful at most. */
const MAX_STACKED = 64

const READ_ONLY = ['ro', 'nosuid', 'nodev'] as const
const WRITABLE = ['rw', 'nosuid', 'nodev'] as const

/** The mounter for Linux 5.12 and later: a detached clone gets its flags, then moves to the target. */
export function createCloneMounter(): Mounter {
  return createMounter(attachReadOnlyClone)
}

/**
 * The mounter for kernels without mount_setattr: the bind gets its flags at a private place first, and is bound from
 * there, since a bind mount inherits the flags of what it is bound from.
 *
 * @param stagingDirectory an empty directory of this process, made private by being bound onto itself
 */
export function createStagedMounter(stagingDirectory: string): Mounter & Disposable {
  bindMount(stagingDirectory, stagingDirectory)
  makePrivate(stagingDirectory)
  let count = 0
  const mounter = createMounter((source, target) => {
    count += 1
    const staging = join(stagingDirectory, String(count))
    mkdirSync(staging)
    try {
      bindMount(source, staging)
      try {
        // Else it is a peer of the mount that the source lies on, and a second mount on the target would propagate into the source.
        makePrivate(staging)
        remountReadOnly(staging)
        bindMount(staging, target)
      } finally {
        unmount(staging)
      }
    } finally {
      rmdirSync(staging)
    }
  })
  return { ...mounter, [Symbol.dispose]: () => unmount(stagingDirectory) }
}

function createMounter(attach: (source: string, target: string) => void): Mounter {
  const mountsAt = async (target: string) => {
    if (isMountedAt(target) === false) return []
    const path = await asMountinfoSays(target)
    return readMounts().filter((mount) => mount.mountPoint === path)
  }

  /** The kernel said yes; believe mountinfo only. */
  const checkMounted = async (
    target: string,
    options: readonly string[],
    faultOf: (top: MountEntry) => string | undefined,
  ) => {
    const top = (await mountsAt(target)).at(-1)
    const missing = options.filter((option) => top?.options.includes(option) !== true)
    const fault =
      top === undefined
        ? 'the mount did not appear'
        : missing.length > 0
          ? `the mount lacks ${missing.join(', ')}`
          : faultOf(top)
    if (fault === undefined) return
    throw new CodedError('INTERNAL', `Cannot mount at "${target}": ${fault}`)
  }

  const unmountAll = async (target: string) => {
    for (let count = 0; count < MAX_STACKED; count += 1) {
      const top = (await mountsAt(target)).at(-1)
      if (top === undefined) return
      try {
        if (top.overlay !== undefined && (await unmountInBackground(target))) continue
        unmount(target)
      } catch (error) {
        // Gone in the meantime: the next look at mountinfo decides.
        if (isSystemError(error, 'EINVAL', 'ENOENT')) continue
        throw new CodedError('UNAVAILABLE', `Cannot unmount "${target}": ${messageOf(error)}`, {
          cause: error,
        })
      }
    }
    throw new CodedError('INTERNAL', `Cannot unmount "${target}": still mounted after many tries`)
  }

  const mount = async (target: string, make: () => void, check: () => Promise<void>) => {
    try {
      make()
    } catch (error) {
      throw new CodedError('INTERNAL', `Cannot mount at "${target}": ${messageOf(error)}`, {
        cause: error,
      })
    }
    try {
      await check()
    } catch (error) {
      await unmountAll(target)
      throw error
    }
  }

  return {
    mountReadOnly: (source, target) =>
      mount(
        target,
        () => attach(source, target),
        async () => {
          if (showsReadOnly(source, target)) return
          await checkMounted(target, READ_ONLY, () => undefined)
        },
      ),
    mountWritable: (layers, target) =>
      mount(
        target,
        () => layOver(layers, target),
        () => checkMounted(target, WRITABLE, (top) => overlayFault(layers, top)),
      ),
    unmountAll,
    mountsAt,
    isMounted: async (target) => isMountedAt(target) ?? (await mountsAt(target)).length > 0,
  }
}

function layOver(layers: OverlayLayers, target: string): void {
  try {
    // The files end with the volume: nobody needs them on the disk, and the end of an overlay would else wait until everything that anybody has written to
    // that file system is.
    mountOverlay(target, overlayOptions(layers, 'volatile'))
  } catch (error) {
    // Linux 5.9 and earlier do not know the option.
    if (!isSystemError(error, 'EINVAL')) throw error
    layOverDurably(layers, target)
  }
}

function layOverDurably(layers: OverlayLayers, target: string): void {
  try {
    mountOverlay(target, overlayOptions(layers))
  } catch (error) {
    if (!isSystemError(error, 'EINVAL')) throw error
    throw new CodedError(
      'INTERNAL',
      `${messageOf(error)}; the file system of "${layers.upper}" may be none that can be written over another (NFS, FUSE, an overlay, XFS without ftype=1): the kernel's log says why`,
      { cause: error },
    )
  }
}

/** The kernel cuts options that are too long, and mounts what is left. */
function overlayFault({ lower, upper }: OverlayLayers, top: MountEntry): string | undefined {
  if (top.overlay?.lower === lower && top.overlay.upper === upper) return undefined
  return 'what was mounted is not what was meant'
}

/**
 * Answers whether something is mounted at a path, as far as the path itself can tell. Mountinfo, which lists every mount of the node, is read only
 * for what is mounted, or where this does not know.
 */
function isMountedAt(target: string): boolean | undefined {
  try {
    const found = lookAt(target)
    return found === undefined ? false : found.isMountRoot
  } catch (error) {
    if (isSystemError(error)) return undefined
    throw error
  }
}

/** Answers whether a mount of `source` is seen at `target`, with all its protections. When not, mountinfo tells what is wrong. */
function showsReadOnly(source: string, target: string): boolean {
  try {
    const shown = lookAt(target)
    if (shown?.isMountRoot !== true || shown.identity !== lookAt(source)?.identity) return false
    const flags = mountFlags(target)
    return READ_ONLY.every((flag) => flags.includes(flag))
  } catch (error) {
    if (isSystemError(error)) return false
    throw error
  }
}

/** The kubelet's root is a symbolic link on some nodes; mountinfo has the path behind it. */
async function asMountinfoSays(target: string): Promise<string> {
  try {
    return join(await realpath(dirname(target)), basename(target))
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return target
    throw error
  }
}

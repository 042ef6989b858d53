import { mkdirSync, rmdirSync } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CodedError, isSystemError, messageOf } from '../../common/errors.ts'
import {
  attachReadOnlyClone,
  bindMount,
  makePrivate,
  remountReadOnly,
  unmount,
} from '../linux/mount.ts'
import type { Mounter } from './mounter.ts'
import { readMounts } from './mountinfo.ts'

/** How often a target is unmounted before stacked mounts are taken for a fault: the kubelet stacks a handful at most. */
const MAX_STACKED = 64

const REQUIRED_OPTIONS = ['ro', 'nosuid', 'nodev'] as const

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
    const path = await asMountinfoSays(target)
    return readMounts().filter((mount) => mount.mountPoint === path)
  }

  /** The kernel said yes; believe mountinfo only. */
  const checkMounted = async (target: string) => {
    const top = (await mountsAt(target)).at(-1)
    const missing = REQUIRED_OPTIONS.filter((option) => top?.options.includes(option) !== true)
    if (missing.length === 0) return
    const fault =
      top === undefined ? 'the mount did not appear' : `the mount lacks ${missing.join(', ')}`
    throw new CodedError('INTERNAL', `Cannot mount at "${target}": ${fault}`)
  }

  const unmountAll = async (target: string) => {
    for (let count = 0; count < MAX_STACKED; count += 1) {
      if ((await mountsAt(target)).length === 0) return
      try {
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

  return {
    async mountReadOnly(source, target) {
      try {
        attach(source, target)
      } catch (error) {
        throw new CodedError('INTERNAL', `Cannot mount at "${target}": ${messageOf(error)}`, {
          cause: error,
        })
      }
      try {
        await checkMounted(target)
      } catch (error) {
        await unmountAll(target)
        throw error
      }
    },
    unmountAll,
    mountsAt,
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

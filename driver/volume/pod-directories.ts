import { lstat, readdir } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { isSystemError } from '../../common/errors.ts'

/** A volume's place among the kubelet's pods. */
export interface PodVolume {
  /** The pod's UID. */
  readonly pod: string
  /** The volume's name in the pod. */
  readonly volume: string
}

/** The kubelet's directory of pods, as far as a driver may conclude something from it. */
export interface PodDirectories {
  /** Reads a target path; undefined when it is none of a volume below this root. */
  parse(target: string): PodVolume | undefined

  /**
   * Answers whether the kubelet has done with a pod: its directory is gone, or nothing is left in it but `volumes`. A kubelet makes a pod's `plugins`
   * before it starts anything of it, and ends with what it could not remove.
   *
   * @see makePodDataDirs and cleanupOrphanedPodDirs in https://github.com/kubernetes/kubernetes/tree/v1.36.0/pkg/kubelet
   */
  isGone(pod: string): Promise<boolean>

  /**
   * Says why this may not be the kubelet's root at all, so that nothing is concluded from what is missing; undefined when it is: the kubelet has called us
   * through the socket that lies here, and it has other pods here.
   */
  doubt(gone: ReadonlySet<string>): Promise<string | undefined>
}

/** How many pods' directories are looked at for one that is alive, as almost each is. */
const MAX_LOOKED_AT = 1_000

export function createPodDirectories(options: {
  /** The kubelet's root. */
  readonly kubeletDirectory: string
  /** Where we wait for the kubelet to register us. */
  readonly registrationSocket: string
  /** Whether the kubelet has, in this process's life. */
  readonly isRegistered: () => boolean
}): PodDirectories {
  const { kubeletDirectory, registrationSocket, isRegistered } = options
  const pods = join(kubeletDirectory, 'pods')
  const isGone = async (pod: string) => {
    const names = await namesIn(join(pods, pod))
    return names === undefined || names.every((name) => name === 'volumes')
  }
  return {
    parse(target) {
      const [pod, volumes, plugin, volume, mount, ...rest] = relative(pods, target).split('/')
      if (pod === undefined || pod === '..' || volume === undefined) return undefined
      const isVolume = volumes === 'volumes' && plugin === 'kubernetes.io~csi' && mount === 'mount'
      return isVolume && rest.length === 0 ? { pod, volume } : undefined
    },
    isGone,
    async doubt(gone) {
      if (!isRegistered()) return 'the kubelet has not registered the driver'
      if (!(await isSocket(registrationSocket))) return `"${registrationSocket}" is not there`
      const others = ((await namesIn(pods)) ?? []).filter((pod) => !gone.has(pod))
      for (const pod of others.slice(0, MAX_LOOKED_AT)) if (!(await isGone(pod))) return undefined
      return `"${pods}" has no other pod`
    },
  }
}

async function namesIn(directory: string): Promise<readonly string[] | undefined> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
}

async function isSocket(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSocket()
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return false
    throw error
  }
}

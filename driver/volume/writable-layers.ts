import { createHash } from 'node:crypto'
import { chmod, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CodedError, isSystemError } from '../../common/errors.ts'
import type { Store } from '../store/store.ts'
import type { StoreMounts } from './store-mounts.ts'

/** Where the files of writable volumes lie: `volumes/<id>.d/upper`, and `work`, which the kernel needs beside it. */
export interface WritableLayers {
  /**
   * Makes the directories of a volume, with nothing in them: whatever is there from before goes to the trash.
   *
   * @throws EXHAUSTED when the file system is full
   */
  make(volumeId: string): Promise<{ readonly upper: string; readonly work: string }>

  /** Moves a volume's files to the trash, by one rename whatever they are; does nothing when there are none. */
  discard(volumeId: string): Promise<void>

  /** The upper directory of every volume that has one, by the volume's {@link writableName}. */
  list(): Promise<ReadonlyMap<string, string>>

  /** Discards what belongs to no lease and no mount. Answers how many there were. */
  sweep(): Promise<number>
}

/** As of an emptyDir: a pod may run as any uid. Nobody else gets there, the store being 0700. */
const UPPER_MODE = 0o777
const SUFFIX = '.d'
const UPPER = 'upper'
const WORK = 'work'

/** The name of a volume's directory without `.d`: short and plain, since it stands in the options of a mount, and volume ids are opaque. */
export function writableName(volumeId: string): string {
  return createHash('sha256').update(volumeId).digest('hex').slice(0, 32)
}

/** Answers whether an overlay's upper directory is that of a volume, whatever name the store had when it was mounted. */
export function isUpperOf(volumeId: string, upper: string): boolean {
  return upper.endsWith(`/volumes/${writableName(volumeId)}${SUFFIX}/${UPPER}`)
}

export function createWritableLayers({
  store,
  storeMounts,
}: {
  readonly store: Pick<Store, 'directory' | 'leases' | 'trash'>
  readonly storeMounts: Pick<StoreMounts, 'show'>
}): WritableLayers {
  const volumes = join(store.directory, 'volumes')
  const path = (name: string) => join(volumes, `${name}${SUFFIX}`)

  const names = async () =>
    (await readdir(volumes))
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => name.slice(0, -SUFFIX.length))

  return {
    async make(volumeId) {
      const directory = path(writableName(volumeId))
      // A used work directory cannot be used again, and files of before a reboot may be damaged.
      await store.trash.take(directory)
      const upper = join(directory, UPPER)
      const work = join(directory, WORK)
      try {
        await mkdir(directory, { mode: 0o700 })
        await mkdir(work, { mode: 0o700 })
        await mkdir(upper)
        // The root of the volume has the mode of this; mkdir's is subject to the umask.
        await chmod(upper, UPPER_MODE)
      } catch (error) {
        if (!isSystemError(error, 'ENOSPC', 'EDQUOT')) throw error
        throw new CodedError(
          'EXHAUSTED',
          `Cannot make volume "${volumeId}" writable: no space or no inodes left for "${volumes}" on this node (${error.code}); free some, or give the store a larger file system`,
          { cause: error },
        )
      }
      return { upper, work }
    },

    discard: (volumeId) => store.trash.take(path(writableName(volumeId))),

    async list() {
      return new Map((await names()).map((name) => [name, join(path(name), UPPER)]))
    },

    async sweep() {
      const found = await names()
      if (found.length === 0) return 0
      const { leases } = await store.leases.list()
      const held = new Set(leases.map(({ volumeId }) => writableName(volumeId)))
      let count = 0
      for (const name of found) {
        if (held.has(name) || storeMounts.show(path(name))) continue
        await store.trash.take(path(name))
        count += 1
      }
      return count
    },
  }
}

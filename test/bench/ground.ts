import { mkdir, mkdtemp, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../support/command.ts'
import { detach, readMounts } from '../support/mounts.ts'

/**
 * The directory in which everything is written whose writing is measured. Disposing unmounts what is mounted of it and removes it.
 *
 * Every run gets a directory of its own, which the file system places away from the others: an ext4 without a journal creates files
 * twenty times slower for minutes after many were deleted nearby, whatever creates them. For the same reason many small files are
 * kept until the end.
 */
export interface Ground extends AsyncDisposable {
  readonly path: string
  /** Makes an empty directory. */
  fresh(name: string): Promise<FreshDirectory>
  /** Writes what is waiting to the disk, so that the next run does not pay for the one before. */
  settle(): Promise<void>
  /** @throws when there is not so much free */
  require(bytes: number): Promise<void>
}

/** A directory for one run. Disposing removes it, unless it is to be kept. */
export interface FreshDirectory extends AsyncDisposable {
  readonly path: string
  /** Leaves it until the ground is disposed of. */
  keep(): void
}

/** Makes the ground below a directory, which names the disk. */
export async function openGround(parent: string): Promise<Ground> {
  const path = await mkdtemp(join(parent, 'oras-csi-bench-'))
  await spreadDirectories(path)
  let count = 0
  return {
    path,
    async fresh(name) {
      const directory = join(path, `${String(count).padStart(4, '0')}-${name}`)
      count += 1
      await mkdir(directory, { mode: 0o700 })
      let isKept = false
      return {
        path: directory,
        keep: () => {
          isKept = true
        },
        [Symbol.asyncDispose]: async () => {
          if (!isKept) await removeTree(directory)
        },
      }
    },
    settle: async () => {
      await run('sync', ['--file-system', path])
    },
    require: async (bytes) => {
      const { bavail, bsize } = await statfs(path)
      if (bavail * bsize >= bytes) return
      const gibibytes = (count: number) => (count / 2 ** 30).toFixed(1)
      throw new Error(
        `"${path}" has ${gibibytes(bavail * bsize)} GiB free; ${gibibytes(bytes)} GiB are needed: name another --directory`,
      )
    },
    [Symbol.asyncDispose]: () => removeTree(path),
  }
}

async function removeTree(path: string): Promise<void> {
  for (const { mountPoint } of (await readMounts()).toReversed()) {
    if (mountPoint.startsWith(`${path}/`)) await detach(mountPoint)
  }
  await rm(path, { recursive: true, force: true })
}

/** Marks it as the top of hierarchies that have nothing to do with each other; other file systems than ext4 know no such thing. */
async function spreadDirectories(path: string): Promise<void> {
  await run('chattr', ['+T', path]).catch(() => undefined)
}

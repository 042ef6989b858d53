import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { detach, readMounts } from './mounts.ts'

/** A directory that is removed when it is disposed of. */
export interface TemporaryDirectory extends AsyncDisposable {
  /** Absolute and short: a unix socket's path holds 107 bytes, and a kubelet's tree goes deep. */
  readonly path: string
  /** The absolute path of something in it. */
  file(...names: string[]): string
}

// Not os.tmpdir(): a TMPDIR in a home directory would make socket paths too long.
const PARENT = '/tmp'

/**
 * Makes an empty directory, mode 0700.
 *
 * Disposing unmounts whatever is still mounted beneath, removes everything, and then throws if there was such a mount: a test
 * that leaves one has found a fault, and the next test must not suffer for it.
 */
export async function temporaryDirectory(): Promise<TemporaryDirectory> {
  const path = await mkdtemp(join(PARENT, 'oc-'))
  return {
    path,
    file: (...names) => join(path, ...names),
    [Symbol.asyncDispose]: async () => {
      const left = await mountsBeneath(path)
      // The latest first: a mount may hide another.
      for (const mount of left.toReversed()) await detach(mount)
      // Removing through a mount would destroy what is mounted, which may not be the test's.
      const stuck = await mountsBeneath(path)
      if (stuck.length > 0) throw new Error(`Cannot unmount ${stuck.join(', ')}`)
      await rm(path, { recursive: true, force: true })
      if (left.length > 0) {
        const list = left.map((mount) => mount.slice(path.length + 1) || '.').join(', ')
        throw new Error(`Left mounted beneath a temporary directory: ${list}`)
      }
    },
  }
}

async function mountsBeneath(path: string): Promise<string[]> {
  const mounts = (await readMounts()).map(({ mountPoint }) => mountPoint)
  return mounts.filter((mount) => mount === path || mount.startsWith(`${path}/`))
}

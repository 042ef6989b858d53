import { randomBytes } from 'node:crypto'
import { lstat, mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CodedError, isSystemError } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import { type AccessStore, createAccessStore } from './access.ts'
import { type BlobStore, createBlobStore } from './blobs.ts'
import { createDurability, type Durability } from './durability.ts'
import { createHolds, type Holds } from './holds.ts'
import { sweepIngest } from './ingest-files.ts'
import { createLeaseStore, type LeaseStore } from './leases.ts'
import { createManifestStore, type ManifestStore } from './manifests.ts'
import { createSalt } from './salt.ts'
import { removeUnfinished } from './small-file.ts'
import { findStoreSite, writeFormat } from './store-format.ts'
import { lockStore } from './store-lock.ts'
import { createTrash, type Trash } from './trash.ts'
import { createTreeStore, type TreeStore } from './trees.ts'
import { createViewStore, type ViewStore } from './views.ts'

/**
 * What is on the node's disk. One directory on one file system, mode 0700: trees are readable by every uid inside.
 *
 * Exists means complete: everything is built in `ingest/` or `staging/`, verified, and renamed into place. The truth is in
 * directories and small files; nothing in memory is needed that listing could not rebuild.
 */
export interface Store extends AsyncDisposable {
  readonly directory: string
  /** `/proc/sys/kernel/random/boot_id`: what another boot left and no mark calls durable is not trusted. */
  readonly bootId: string
  /** Secret of this store: hashes of credentials cannot be compared between nodes, nor guessed offline from another's. */
  readonly salt: string
  readonly blobs: BlobStore
  readonly manifests: ManifestStore
  readonly access: AccessStore
  readonly trees: TreeStore
  readonly views: ViewStore
  readonly leases: LeaseStore
  /** Leases that drivers of other formats wrote: an upgrade or rollback does not keep their volumes from being unpublished. */
  readonly otherLeases: readonly OtherLeases[]
  /** What work that is under way needs. */
  readonly holds: Holds
  /** Answers whether a lease, or work that is under way, needs a tree, view or blob; as far as this process knows. */
  isHeld(key: string): boolean
  readonly trash: Trash
  readonly durability: Durability
  /** Downloads in progress; they survive a restart. */
  readonly ingestDirectory: string
  /** Makes a new empty directory for something to be built in. It is swept at start. */
  makeStaging(): Promise<string>
}

/** Leases of volumes that another store's content is mounted for. */
export type OtherLeases = Pick<LeaseStore, 'get' | 'list' | 'remove'>

/** What a store consists of, beside the files `format`, `lock` and `salt`. */
export const STORE_DIRECTORIES = [
  'ingest',
  'blobs',
  'manifests',
  'refs',
  'access',
  'trees',
  'views',
  'staging',
  'trash',
  'volumes',
] as const

/**
 * Opens the store, making it when it is not there; waits while another process holds it. The disposal gives up the lock. A directory that belongs to another
 * format is left as it is, but for the leases of volumes that end, and this driver's store lies in it, see `findStoreSite`.
 *
 * @param signal ends the wait for the lock
 * @throws INVALID when it is not a directory of ours alone
 */
export async function openStore(options: {
  readonly directory: string
  readonly bootId: string
  readonly log: Logger
  readonly signal: AbortSignal
  /** See `createTrash`. */
  readonly isMounted: (path: string) => Promise<boolean>
  readonly removeTree: (
    directory: string,
    name: string,
    signal: AbortSignal,
    pauseMs: Int32Array,
  ) => Promise<void>
  /** Called once when another process holds the store, before waiting for it. */
  readonly onWait?: () => void
}): Promise<Store> {
  const { bootId, log } = options
  await mkdir(options.directory, { recursive: true, mode: 0o700 })
  await checkOwnership(options.directory)
  // One for all formats: only one driver at a time mounts volumes.
  const lock = await lockStore({ ...options, path: join(options.directory, 'lock') })
  try {
    const { directory, others, foreignFormat } = await findStoreSite(options.directory)
    if (foreignFormat !== undefined) {
      log.warn(
        { format: foreignFormat, directory },
        'the store is of another format, using one in it',
      )
    }
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await writeFormat(directory)
    for (const name of STORE_DIRECTORIES)
      await mkdir(join(directory, name), { recursive: true, mode: 0o700 })
    const durability = createDurability({ directory, log })
    const trash = createTrash({ ...options, directory: join(directory, 'trash') })
    const holds = createHolds()
    const leases = createLeaseStore(join(directory, 'volumes'), {
      async onRelease(keys) {
        try {
          for (const key of keys) await Promise.all([trees.touch(key), views.touch(key)])
        } catch (error) {
          // It is evicted sooner than it deserves; no reason to keep a pod from ending.
          log.warn({ error }, 'cannot note when content was used last')
        }
      },
    })
    const isHeld = (key: string) => holds.has(key) || leases.holds(key)
    const parts = { bootId, durability, trash, isHeld }
    const trees = createTreeStore({ ...parts, directory: join(directory, 'trees') })
    const views = createViewStore({ ...parts, directory: join(directory, 'views') })
    const store: Store = {
      directory,
      bootId,
      salt: await createSalt(join(directory, 'salt')),
      durability,
      ...{ holds, isHeld, trash, trees, views, leases },
      otherLeases: others.map((other) => createLeaseStore(join(other, 'volumes'))),
      // A lease names trees, whose files stay whatever becomes of the blobs they were made of.
      blobs: createBlobStore({
        ...parts,
        directory: join(directory, 'blobs'),
        isHeld: holds.has,
      }),
      manifests: createManifestStore(join(directory, 'manifests')),
      access: createAccessStore({
        directories: { proofs: join(directory, 'access'), tags: join(directory, 'refs') },
      }),
      ingestDirectory: join(directory, 'ingest'),
      async makeStaging() {
        const path = join(directory, 'staging', randomBytes(12).toString('hex'))
        await mkdir(path, { mode: 0o700 })
        return path
      },
      async [Symbol.asyncDispose]() {
        durability[Symbol.dispose]()
        await trash[Symbol.asyncDispose]()
        lock[Symbol.dispose]()
      },
    }
    await sweep(store, log)
    return store
  } catch (error) {
    lock[Symbol.dispose]()
    throw error
  }
}

/** Throws away what an earlier process was building, and downloads nobody has touched for a day. */
async function sweep(store: Store, log: Logger): Promise<void> {
  const staging = join(store.directory, 'staging')
  for (const name of await readdir(staging)) {
    try {
      await store.trash.take(join(staging, name))
    } catch (error) {
      // Left mounted by a driver that was killed, for instance: in nobody's way.
      log.warn({ error, entry: name }, 'cannot sweep what an earlier driver was building')
    }
  }
  for (const directory of [store.directory, join(store.directory, 'volumes')]) {
    await removeUnfinished(directory)
  }
  await sweepIngest(store.ingestDirectory)
  void store.trash.empty()
}

async function checkOwnership(directory: string): Promise<void> {
  const found = await lstat(directory)
  const fault = !found.isDirectory()
    ? 'it is not a directory'
    : found.uid !== process.getuid?.()
      ? `it belongs to uid ${found.uid}`
      : (found.mode & 0o077) !== 0
        ? `its mode is 0${(found.mode & 0o777).toString(8)}, and 0700 is wanted: trees inside are readable by every uid`
        : undefined
  if (fault !== undefined) {
    throw new CodedError('INVALID', `Cannot use "${directory}" as the store: ${fault}`)
  }
}

/** The kernel's id of this boot. */
export async function readBootId(): Promise<string> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
  } catch (error) {
    // Never equal to another: nothing unmarked is trusted after a restart.
    if (isSystemError(error, 'ENOENT')) return randomBytes(16).toString('hex')
    throw error
  }
}

import { randomBytes } from 'node:crypto'
import { lstat, mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CodedError, isSystemError } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import { type AccessStore, createAccessStore } from './access.ts'
import { type BlobStore, createBlobStore } from './blobs.ts'
import { createDurability, type Durability } from './durability.ts'
import { createLeaseStore, type LeaseStore } from './leases.ts'
import { createManifestStore, type ManifestStore } from './manifests.ts'
import { createSalt } from './salt.ts'
import { readSmallFile, writeSmallFile } from './small-file.ts'
import { lockStore } from './store-lock.ts'
import { createTrash, type Trash } from './trash.ts'
import { createTreeStore, type TreeStore } from './trees.ts'

/** The version of the directory layout below, written to the file `format`. */
export const STORE_FORMAT = 1

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
  readonly leases: LeaseStore
  readonly trash: Trash
  readonly durability: Durability
  /** Downloads in progress; they survive a restart. */
  readonly ingestDirectory: string
  /** Makes a new empty directory for something to be built in. It is swept at start. */
  makeStaging(): Promise<string>
}

const DIRECTORIES = [
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
 * Opens the store, making it when it is not there; waits while another process holds it. The disposal gives up the lock.
 *
 * @param signal ends the wait for the lock
 * @throws INVALID when the directory is of another format, or not a directory of ours alone
 */
export async function openStore(options: {
  readonly directory: string
  readonly bootId: string
  readonly log: Logger
  readonly signal: AbortSignal
  readonly isMounted: (path: string) => Promise<boolean>
  readonly removeTree: (directory: string, name: string, signal: AbortSignal) => Promise<void>
  /** Called once when another process holds the store, before waiting for it. */
  readonly onWait?: () => void
}): Promise<Store> {
  const { directory, bootId, log } = options
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await checkOwnership(directory)
  const lock = await lockStore({ ...options, path: join(directory, 'lock') })
  try {
    await checkFormat(directory)
    for (const name of DIRECTORIES)
      await mkdir(join(directory, name), { recursive: true, mode: 0o700 })
    const durability = createDurability({ directory, log })
    const trash = createTrash({ ...options, directory: join(directory, 'trash') })
    const store: Store = {
      directory,
      bootId,
      salt: await createSalt(join(directory, 'salt')),
      durability,
      trash,
      blobs: createBlobStore({ directory: join(directory, 'blobs'), bootId, durability }),
      manifests: createManifestStore(join(directory, 'manifests')),
      access: createAccessStore({
        directories: { proofs: join(directory, 'access'), tags: join(directory, 'refs') },
      }),
      trees: createTreeStore({ directory: join(directory, 'trees'), bootId, durability, trash }),
      leases: createLeaseStore(join(directory, 'volumes')),
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
  for (const name of await readdir(store.ingestDirectory)) {
    const path = join(store.ingestDirectory, name)
    const { mtimeMs } = await lstat(path)
    if (mtimeMs < Date.now() - INGEST_MAX_AGE_MS) await rm(path, { force: true })
  }
  void store.trash.empty()
}

const INGEST_MAX_AGE_MS = 24 * 60 * 60 * 1_000

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

async function checkFormat(directory: string): Promise<void> {
  const path = join(directory, 'format')
  const found = await readSmallFile(path, (value) => value)
  if (found.state !== 'ok') {
    // Absent, or emptied by a power cut: every format writes it as JSON, so this is none that we do not know.
    await writeSmallFile(path, `${STORE_FORMAT}\n`)
  } else if (found.value !== STORE_FORMAT) {
    const seen = JSON.stringify(found.value)
    throw new CodedError(
      'INVALID',
      `Cannot use "${directory}" as the store: its format is ${seen} and this driver writes ${STORE_FORMAT}; choose another --store-directory, or remove this one when no pod of the node uses it`,
    )
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

import { createHash } from 'node:crypto'
import { readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import pLimit from 'p-limit'
import { CodedError, isSystemError } from '../../common/errors.ts'
import { readRecord } from './record.ts'
import { readSmallFile, type SmallFile, TEMPORARY_PREFIX, writeSmallFile } from './small-file.ts'
import type { TreeKey } from './trees.ts'
import type { ViewKey } from './views.ts'

/** Whose volume it is. */
export interface LeasePod {
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

/**
 * Holds trees and views against eviction on behalf of one volume, from before its content is pulled until it is unpublished. Never holds
 * secrets. Readable by older and newer drivers: fields are only ever added.
 */
export interface Lease {
  readonly volumeId: string
  readonly target: string
  readonly pod: LeasePod
  /**
   * Of what was asked for, so that a repeated call is told from a different one; {@link UNKNOWN_REQUEST} for a volume that was found mounted without
   * a lease.
   */
  readonly requestHash: string
  readonly sources: readonly LeaseSource[]
  /** Of each source, in order. */
  readonly trees: readonly TreeKey[]
  /** What the volume shows when that is not simply its one tree: one, or none. */
  readonly views: readonly ViewKey[]
  readonly mounted: boolean
  /** Absent: read-only. */
  readonly writable?: boolean
  /** The boot in which it was written: mounts do not outlive it. */
  readonly bootId: string
}

/** No request's hash. */
export const UNKNOWN_REQUEST = ''

/** What a source's reference resolved to; absent until it has. */
export interface LeaseSource {
  readonly reference: string
  readonly digest?: string
}

/** One small file for each volume: `volumes/<id>.json`. */
export interface LeaseStore {
  get(volumeId: string): Promise<SmallFile<Lease>>
  put(lease: Lease): Promise<void>
  /** Forgets the volume; does nothing when it is unknown. */
  remove(volumeId: string): Promise<void>
  /**
   * Answers whether a lease needs a tree or view, as far as this process knows: what it has listed, and every lease it has been asked to put, from
   * that moment on.
   */
  holds(key: TreeKey | ViewKey): boolean
  /** How many are known. */
  readonly size: number
  /** Every lease, and the names of files that do not parse. */
  list(): Promise<{ readonly leases: readonly Lease[]; readonly broken: readonly string[] }>
}

/** How many are read at once: four threads do it, and others need them, too. */
const LIST_WIDTH = 16

// Volume ids are opaque (CSI): only what is plainly a file name is used as one.
const PLAIN_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/

/** @param options.onRelease told what a volume has used until now, just before its lease goes */
export function createLeaseStore(
  directory: string,
  options: { readonly onRelease?: (keys: readonly string[]) => Promise<void> } = {},
): LeaseStore {
  const path = (volumeId: string) => join(directory, `${fileName(volumeId)}.json`)
  /** By file name. */
  const known = new Map<string, Lease>()
  /** The files that are there, also those that do not parse; undefined until they were listed. Nobody else writes here: see store-lock.ts. */
  let present: Set<string> | undefined
  /** Removed while somebody lists, who may have read them before. */
  const removed = new Set<string>()
  let listings = 0
  return {
    async get(volumeId) {
      if (present?.has(`${fileName(volumeId)}.json`) === false) return { state: 'absent' }
      return readSmallFile(path(volumeId), parseLease)
    },
    async put(lease) {
      const name = `${fileName(lease.volumeId)}.json`
      removed.delete(name)
      present?.add(name)
      // Before it is on disk: from here on eviction leaves alone what the volume is about to look for.
      known.set(name, lease)
      try {
        await writeSmallFile(path(lease.volumeId), JSON.stringify(lease))
      } catch (error) {
        if (!isSystemError(error, 'ENOSPC', 'EDQUOT')) throw error
        throw new CodedError(
          'EXHAUSTED',
          `Cannot note what volume "${lease.volumeId}" uses: no space or no inodes left for "${directory}" on this node (${error.code}); free some, or give the store a larger file system`,
          { cause: error },
        )
      }
    },
    async remove(volumeId) {
      const name = `${fileName(volumeId)}.json`
      const lease = known.get(name)
      if (lease !== undefined) await options.onRelease?.([...lease.trees, ...lease.views])
      await removeFile(path(volumeId))
      known.delete(name)
      present?.delete(name)
      if (listings > 0) removed.add(name)
    },
    holds(key) {
      for (const { trees, views } of known.values()) {
        if (trees.includes(key) || views.includes(key)) return true
      }
      return false
    },
    get size() {
      return known.size
    },
    async list() {
      const leases: Lease[] = []
      const broken: string[] = []
      listings += 1
      try {
        const turns = pLimit(LIST_WIDTH)
        const read = async (name: string) => {
          const file = await readSmallFile(join(directory, name), parseLease)
          if (file.state === 'broken') broken.push(name)
          if (file.state !== 'ok') return
          leases.push(file.value)
          // What was put since is newer.
          if (!known.has(name) && !removed.has(name)) known.set(name, file.value)
        }
        const names = (await namesIn(directory)).filter(
          (name) => name.endsWith('.json') && !name.startsWith(TEMPORARY_PREFIX),
        )
        await Promise.all(names.map((name) => turns(read, name)))
        present ??= new Set([...names.filter((name) => !removed.has(name)), ...known.keys()])
      } finally {
        listings -= 1
        if (listings === 0) removed.clear()
      }
      return { leases, broken }
    },
  }
}

/** None where no volume has been: a store of another format may have no such directory. */
async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return []
    throw error
  }
}

/** One system call, where `rm` takes three turns of the thread pool. */
async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error
  }
}

function fileName(volumeId: string): string {
  return PLAIN_ID.test(volumeId)
    ? volumeId
    : `hashed.${createHash('sha256').update(volumeId).digest('hex')}`
}

function parseLease(value: unknown): Lease {
  const record = readRecord(value)
  const pod = record.record('pod')
  return {
    volumeId: record.text('volumeId'),
    target: record.text('target'),
    pod: { namespace: pod.text('namespace'), name: pod.text('name'), uid: pod.text('uid') },
    requestHash: record.text('requestHash'),
    sources: record.records('sources').map((source) => ({
      reference: source.text('reference'),
      ...(source.has('digest') && { digest: source.text('digest') }),
    })),
    trees: record.texts('trees'),
    // Drivers that knew no views wrote none.
    views: record.has('views') ? record.texts('views') : [],
    mounted: record.flag('mounted'),
    ...(record.has('writable') && { writable: record.flag('writable') }),
    bootId: record.text('bootId'),
  }
}

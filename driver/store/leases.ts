import { createHash } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { readRecord } from './record.ts'
import { readSmallFile, type SmallFile, TEMPORARY_PREFIX, writeSmallFile } from './small-file.ts'
import type { TreeKey } from './trees.ts'

/** Whose volume it is. */
export interface LeasePod {
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

/**
 * Holds trees against eviction on behalf of one volume, from before its content is pulled until it is unpublished. Never holds
 * secrets. Readable by older and newer drivers: fields are only ever added.
 */
export interface Lease {
  readonly volumeId: string
  readonly target: string
  readonly pod: LeasePod
  /** Of what was asked for, so that a repeated call is told from a different one. */
  readonly requestHash: string
  readonly sources: readonly LeaseSource[]
  /** What the volume shows, in order. */
  readonly trees: readonly TreeKey[]
  readonly mounted: boolean
  /** The boot in which it was written: mounts do not outlive it. */
  readonly bootId: string
}

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
  /** Every lease, and the names of files that do not parse. */
  list(): Promise<{ readonly leases: readonly Lease[]; readonly broken: readonly string[] }>
}

// Volume ids are opaque (CSI): only what is plainly a file name is used as one.
const PLAIN_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/

export function createLeaseStore(directory: string): LeaseStore {
  const path = (volumeId: string) => join(directory, `${fileName(volumeId)}.json`)
  return {
    get: (volumeId) => readSmallFile(path(volumeId), parseLease),
    put: (lease) => writeSmallFile(path(lease.volumeId), JSON.stringify(lease)),
    remove: (volumeId) => rm(path(volumeId), { force: true }),
    async list() {
      const leases: Lease[] = []
      const broken: string[] = []
      for (const name of await readdir(directory)) {
        if (!name.endsWith('.json') || name.startsWith(TEMPORARY_PREFIX)) continue
        const file = await readSmallFile(join(directory, name), parseLease)
        if (file.state === 'ok') leases.push(file.value)
        if (file.state === 'broken') broken.push(name)
      }
      return { leases, broken }
    },
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
    mounted: record.flag('mounted'),
    bootId: record.text('bootId'),
  }
}

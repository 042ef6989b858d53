import type { Stats } from 'node:fs'
import { chmod, mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import pLimit from 'p-limit'
import { isSystemError } from '../../common/errors.ts'
import { type Digest, digestAlgorithm, digestHex, isDigest } from '../../common/oci/digest.ts'
import { createKeyedLock } from '../keyed-lock.ts'
import type { Durability } from './durability.ts'
import { readRecord } from './record.ts'
import { readSmallFile, writeSmallFile } from './small-file.ts'
import type { Trash } from './trash.ts'

/** `registry/repository`: where a blob was downloaded from, in full and verified. */
export type Origin = string

/** What is known of a blob beside its bytes. */
export interface BlobRecord {
  /** Where it came from: presence on the node is no permission to read it. */
  readonly origins: readonly Origin[]
  /** The boot in which the bytes were written; while not durable they do not outlive it. */
  readonly bootId: string
  readonly durable: boolean
}

/** A blob on the disk, as it was last seen. */
export interface SurveyedBlob {
  readonly digest: Digest
  readonly bytes: number
  /** Whether a tree or view has it as a file, be it one on its way out: removing the blob would make no room. */
  readonly isLinked: boolean
  /** When somebody last came for it, or it was downloaded; milliseconds since the epoch. */
  readonly usedMs: number
}

/**
 * Verified bytes, immutable, one file for each digest. A blob that exists is complete.
 *
 * A blob's mode is its own, set once from its first bytes: a tree shows it through a hard link, whose inode every other volume shares.
 */
export interface BlobStore {
  /** Where the blob of `digest` stands, or would. */
  path(digest: Digest): string

  /**
   * Answers whether the blob is there and was downloaded from `origin`.
   *
   * @param size what a manifest says that it has, in bytes; one that says something else is not answered with this blob. Absent: any
   */
  has(digest: Digest, origin: Origin, size?: number): Promise<boolean>

  /** Where the blob was downloaded from; none when it is not there, or its record cannot be read. No permission to read it either. */
  origins(digest: Digest): Promise<readonly Origin[]>

  /**
   * Records that whoever may read at `origin` may read the blob: the registry that it came from said so of another of its
   * repositories. Answers whether the blob is there.
   */
  addOrigin(digest: Digest, origin: Origin): Promise<boolean>

  /**
   * Takes over a file whose bytes were verified against `digest`, and makes it visible. When the blob was there already, the file is
   * removed and the blob gains the origin; one of another size is damaged, and replaced.
   */
  commit(file: string, digest: Digest, origin: Origin): Promise<void>

  /** Marks the blob as written to the disk; called after a sync. Does nothing when the blob is gone. */
  markDurable(digest: Digest): Promise<void>

  /** Removes the blob, record first: a file without a record counts as not there. */
  remove(digest: Digest): Promise<void>

  /** Moves the blob to the trash unless something needs it; whoever asks for it meanwhile waits. Answers whether it is gone. */
  evict(digest: Digest): Promise<boolean>

  /** Moves the blob to the trash whoever needs it, since it is damaged. Answers whether it was there. */
  quarantine(digest: Digest): Promise<boolean>

  /**
   * Lists what is there. Records are read once in a process's life; the first time, what a power cut may have damaged is removed, and what an earlier
   * process of this boot left unsynced is given to be synced.
   */
  survey(): Promise<readonly SurveyedBlob[]>

  /** What the last survey found and what has come or gone since, from memory. */
  readonly known: ReadonlyMap<Digest, Omit<SurveyedBlob, 'isLinked'>>
}

/** How many files are looked at at once: four threads do it. */
const SURVEY_WIDTH = 16

const MODE_READ = 0o444
const MODE_EXECUTE = 0o555
const SHEBANG = Buffer.from('#!')
const ELF = Buffer.from([0x7f, 0x45, 0x4c, 0x46])

export function createBlobStore(options: {
  readonly directory: string
  readonly bootId: string
  readonly durability: Durability
  readonly trash: Trash
  /** Answers whether work that is under way needs a digest. */
  readonly isHeld: (digest: string) => boolean
}): BlobStore {
  const { directory, bootId, durability, trash, isHeld } = options
  const records = createKeyedLock()
  const known = new Map<Digest, Omit<SurveyedBlob, 'isLinked'>>()
  const path = (digest: Digest) => blobPath(directory, digest)
  const recordPath = (digest: Digest) => `${path(digest)}.json`
  const writeRecord = (digest: Digest, record: BlobRecord) =>
    writeSmallFile(recordPath(digest), JSON.stringify(record))
  const readRecordOf = (digest: Digest) => readSmallFile(recordPath(digest), parseBlobRecord)

  const isTrusted = (record: BlobRecord) => record.durable || record.bootId === bootId

  const touch = async (digest: Digest) => {
    const found = known.get(digest)
    const usedMs = Date.now()
    if (found !== undefined) known.set(digest, { ...found, usedMs })
    try {
      // The record's: the time of the blob is what its trees show.
      await utimes(recordPath(digest), usedMs / 1_000, usedMs / 1_000)
    } catch (error) {
      if (!isSystemError(error, 'ENOENT')) throw error
    }
  }

  /** To be called by who has the digest's lock. */
  const discard = async (digest: Digest) => {
    const bytes = known.get(digest)?.bytes
    known.delete(digest)
    await rm(recordPath(digest), { force: true })
    // Perhaps a tree that is in the trash, too, still has it as a file.
    await trash.take(path(digest), bytes === undefined ? undefined : { bytes, inodes: 1 })
  }

  /** Reads the record of a blob that was listed and is not known. */
  const look = async (digest: Digest): Promise<void> => {
    using _ = await records.acquire(digest)
    const record = await readRecordOf(digest)
    const found = await statIfThere(path(digest))
    // Half of it was left by a process that was killed in between.
    if (record.state !== 'ok' || !isTrusted(record.value) || found?.isFile() !== true) {
      return discard(digest)
    }
    const usedMs = (await statIfThere(recordPath(digest)))?.mtimeMs ?? 0
    known.set(digest, { digest, bytes: found.size, usedMs })
    if (!record.value.durable) durability.add(() => store.markDurable(digest))
  }

  const store: BlobStore = {
    path,
    known,

    async has(digest, origin, size) {
      // Not while it is being evicted.
      using _ = await records.acquire(digest)
      const record = await readRecordOf(digest)
      if (record.state !== 'ok' || !record.value.origins.includes(origin)) return false
      if (!isTrusted(record.value)) return false
      const found = await statIfThere(path(digest))
      if (found?.isFile() !== true) return false
      if (size !== undefined && found.size !== size) return false
      await touch(digest)
      return true
    },

    async origins(digest) {
      const record = await readRecordOf(digest)
      if (record.state !== 'ok' || !isTrusted(record.value)) return []
      return (await isFile(path(digest))) ? record.value.origins : []
    },

    async addOrigin(digest, origin) {
      // Not while it is being evicted.
      using _ = await records.acquire(digest)
      const record = await readRecordOf(digest)
      if (record.state !== 'ok' || !isTrusted(record.value)) return false
      if (!(await isFile(path(digest)))) return false
      await writeRecord(digest, withOrigin(record.value, origin))
      return true
    },

    async commit(file, digest, origin) {
      using _ = await records.acquire(digest)
      const target = path(digest)
      await mkdir(dirname(target), { recursive: true, mode: 0o700 })
      await chmod(file, await modeOf(file))
      const record = await readRecordOf(digest)
      const { size } = await stat(file)
      const present = await statIfThere(target)
      const isWhole = present?.isFile() === true && present.size === size
      if (record.state === 'ok' && isTrusted(record.value) && isWhole) {
        // The same bytes, from elsewhere: keep the inode that trees link to.
        await writeRecord(digest, withOrigin(record.value, origin))
        await rm(file)
        return
      }
      // Bytes before record: a blob counts only with both.
      await rename(file, target)
      try {
        await writeRecord(digest, { origins: [origin], bootId, durable: false })
      } catch (error) {
        // Back to where the next try finds it: bytes without a record would be nobody's.
        await rename(target, file)
        throw error
      }
      known.set(digest, { digest, bytes: size, usedMs: Date.now() })
      durability.add(() => store.markDurable(digest))
    },

    async markDurable(digest) {
      using _ = await records.acquire(digest)
      const record = await readRecordOf(digest)
      if (record.state === 'ok') await writeRecord(digest, { ...record.value, durable: true })
    },

    async remove(digest) {
      using _ = await records.acquire(digest)
      await discard(digest)
    },

    async evict(digest) {
      // Whoever needs it has said so before he looks whether it is there.
      using _ = await records.acquire(digest)
      if (isHeld(digest)) return false
      await discard(digest)
      return true
    },

    async quarantine(digest) {
      using _ = await records.acquire(digest)
      const wasThere = await isFile(path(digest))
      await discard(digest)
      return wasThere
    },

    async survey() {
      const listed = await listBlobs(directory)
      const turns = pLimit(SURVEY_WIDTH)
      const surveyed: SurveyedBlob[] = []
      const see = async (digest: Digest) => {
        if (!known.has(digest)) await look(digest)
        const found = await statIfThere(path(digest))
        const blob = known.get(digest)
        if (found === undefined || blob === undefined) return
        surveyed.push({ ...blob, bytes: found.size, isLinked: found.nlink > 1 })
      }
      await Promise.all([...listed].map((digest) => turns(see, digest)))
      for (const digest of [...known.keys()]) {
        // What was committed since the listing is there.
        if (!listed.has(digest) && !(await isFile(path(digest)))) known.delete(digest)
      }
      return surveyed
    },
  }
  return store
}

function withOrigin(record: BlobRecord, origin: Origin): BlobRecord {
  return { ...record, origins: [...new Set([...record.origins, origin])] }
}

/** Where a blob stands below `blobs/`; its record is beside it, with `.json` at the end. */
export function blobPath(directory: string, digest: Digest): string {
  const hex = digestHex(digest)
  return join(directory, digestAlgorithm(digest), hex.slice(0, 2), hex)
}

/** By their files and by their records. */
export async function listBlobs(directory: string): Promise<ReadonlySet<Digest>> {
  const digests = new Set<Digest>()
  for (const algorithm of await readdir(directory)) {
    for (const prefix of await readdir(join(directory, algorithm))) {
      for (const name of await readdir(join(directory, algorithm, prefix))) {
        const digest = `${algorithm}:${name.replace(/\.json$/, '')}`
        if (isDigest(digest)) digests.add(digest)
      }
    }
  }
  return digests
}

/** @throws TypeError when it is not what it should be */
export function parseBlobRecord(value: unknown): BlobRecord {
  const record = readRecord(value)
  return {
    origins: record.texts('origins'),
    bootId: record.text('bootId'),
    durable: record.flag('durable'),
  }
}

/** Programs and scripts are executable, whatever the registry forgot to say (`oras pull` loses the bit). */
async function modeOf(file: string): Promise<number> {
  await using handle = await open(file, 'r')
  const head = Buffer.alloc(ELF.length)
  const { bytesRead } = await handle.read(head, 0, head.length, 0)
  const start = head.subarray(0, bytesRead)
  const isProgram = start.equals(ELF) || start.subarray(0, SHEBANG.length).equals(SHEBANG)
  return isProgram ? MODE_EXECUTE : MODE_READ
}

async function isFile(path: string): Promise<boolean> {
  return (await statIfThere(path))?.isFile() === true
}

async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
}

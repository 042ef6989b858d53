import { chmod, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isSystemError } from '../../common/errors.ts'
import { type Digest, digestAlgorithm, digestHex } from '../../common/oci/digest.ts'
import { createKeyedLock } from '../keyed-lock.ts'
import type { Durability } from './durability.ts'
import { readRecord } from './record.ts'
import { readSmallFile, writeSmallFile } from './small-file.ts'

/** `registry/repository`: where a blob was downloaded from, in full and verified. */
export type Origin = string

/** What is known of a blob beside its bytes. */
interface BlobRecord {
  /** Where it came from: presence on the node is no permission to read it. */
  readonly origins: readonly Origin[]
  /** The boot in which the bytes were written; while not durable they do not outlive it. */
  readonly bootId: string
  readonly durable: boolean
}

/**
 * Verified bytes, immutable, one file for each digest. A blob that exists is complete.
 *
 * A blob's mode is its own, set once from its first bytes: a tree shows it through a hard link, whose inode every other volume shares.
 */
export interface BlobStore {
  /** Where the blob of `digest` stands, or would. */
  path(digest: Digest): string

  /** Answers whether the blob is there and was downloaded from `origin`. */
  has(digest: Digest, origin: Origin): Promise<boolean>

  /**
   * Takes over a file whose bytes were verified against `digest`, and makes it visible. When the blob was there already, the file is
   * removed and the blob gains the origin.
   */
  commit(file: string, digest: Digest, origin: Origin): Promise<void>

  /** Marks the blob as written to the disk; called after a sync. Does nothing when the blob is gone. */
  markDurable(digest: Digest): Promise<void>

  /** Removes the blob, record first: a file without a record counts as not there. */
  remove(digest: Digest): Promise<void>
}

const MODE_READ = 0o444
const MODE_EXECUTE = 0o555
const SHEBANG = Buffer.from('#!')
const ELF = Buffer.from([0x7f, 0x45, 0x4c, 0x46])

export function createBlobStore(options: {
  readonly directory: string
  readonly bootId: string
  readonly durability: Durability
}): BlobStore {
  const { directory, bootId, durability } = options
  const records = createKeyedLock()
  const path = (digest: Digest) => {
    const hex = digestHex(digest)
    return join(directory, digestAlgorithm(digest), hex.slice(0, 2), hex)
  }
  const recordPath = (digest: Digest) => `${path(digest)}.json`
  const writeRecord = (digest: Digest, record: BlobRecord) =>
    writeSmallFile(recordPath(digest), JSON.stringify(record))
  const readRecordOf = (digest: Digest) => readSmallFile(recordPath(digest), parseBlobRecord)

  const store: BlobStore = {
    path,

    async has(digest, origin) {
      const record = await readRecordOf(digest)
      if (record.state !== 'ok' || !record.value.origins.includes(origin)) return false
      if (!record.value.durable && record.value.bootId !== bootId) return false
      return await isFile(path(digest))
    },

    async commit(file, digest, origin) {
      using _ = await records.acquire(digest)
      const target = path(digest)
      await mkdir(dirname(target), { recursive: true, mode: 0o700 })
      await chmod(file, await modeOf(file))
      const record = await readRecordOf(digest)
      const known =
        record.state === 'ok' &&
        (record.value.durable || record.value.bootId === bootId) &&
        (await isFile(target))
      if (known) {
        // The same bytes, from elsewhere: keep the inode that trees link to.
        const origins = [...new Set([...record.value.origins, origin])]
        await writeRecord(digest, { ...record.value, origins })
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
      durability.add(() => store.markDurable(digest))
    },

    async markDurable(digest) {
      using _ = await records.acquire(digest)
      const record = await readRecordOf(digest)
      if (record.state === 'ok') await writeRecord(digest, { ...record.value, durable: true })
    },

    async remove(digest) {
      using _ = await records.acquire(digest)
      await rm(recordPath(digest), { force: true })
      await rm(path(digest), { force: true })
    },
  }
  return store
}

function parseBlobRecord(value: unknown): BlobRecord {
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
  try {
    return (await stat(path)).isFile()
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return false
    throw error
  }
}

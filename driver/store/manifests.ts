import { lstat, mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isSystemError } from '../../common/errors.ts'
import {
  type Digest,
  digestAlgorithm,
  digestHex,
  digestOf,
  isDigest,
} from '../../common/oci/digest.ts'
import { reachStage } from '../pull/stages.ts'
import { writeSmallFile } from './small-file.ts'

/** Verified manifests and indexes by digest. They are small: each read hashes again, so damage is the same as absence. */
export interface ManifestStore {
  get(digest: Digest): Promise<Uint8Array | undefined>
  /** Keeps bytes that the caller has verified against `digest`. */
  put(digest: Digest, bytes: Uint8Array): Promise<void>
  /** Removes those that were written before a moment, in milliseconds since the epoch, and are not wanted. */
  removeOld(beforeMs: number, isWanted: (digest: Digest) => boolean): Promise<void>
}

export function createManifestStore(directory: string): ManifestStore {
  const path = (digest: Digest) => {
    const hex = digestHex(digest)
    return join(directory, digestAlgorithm(digest), hex.slice(0, 2), hex)
  }
  return {
    async get(digest) {
      try {
        const bytes = await readFile(path(digest))
        return digestOf(bytes, digestAlgorithm(digest)) === digest ? bytes : undefined
      } catch (error) {
        if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined
        throw error
      }
    },
    async put(digest, bytes) {
      await mkdir(dirname(path(digest)), { recursive: true, mode: 0o700 })
      await writeSmallFile(path(digest), bytes)
      reachStage('manifest-stored')
    },
    async removeOld(beforeMs, isWanted) {
      for await (const { path: file, algorithm, name } of eachFile(directory)) {
        const digest = `${algorithm}:${name}`
        if (isDigest(digest) && isWanted(digest)) continue
        if ((await lstat(file)).mtimeMs >= beforeMs) continue
        await rm(file, { force: true })
      }
    },
  }
}

/** Every file, temporary ones that a killed process left too. */
async function* eachFile(directory: string) {
  for (const algorithm of await readdir(directory)) {
    for (const prefix of await readdir(join(directory, algorithm))) {
      const parent = join(directory, algorithm, prefix)
      for (const name of await readdir(parent)) {
        yield { path: join(parent, name), algorithm, name }
      }
    }
  }
}

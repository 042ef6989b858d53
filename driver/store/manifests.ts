import { mkdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isSystemError } from '../../common/errors.ts'
import { type Digest, digestAlgorithm, digestHex, digestOf } from '../../common/oci/digest.ts'
import { writeSmallFile } from './small-file.ts'

/** Verified manifests and indexes by digest. They are small: each read hashes again, so damage is the same as absence. */
export interface ManifestStore {
  get(digest: Digest): Promise<Uint8Array | undefined>
  /** Keeps bytes that the caller has verified against `digest`. */
  put(digest: Digest, bytes: Uint8Array): Promise<void>
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
    },
  }
}

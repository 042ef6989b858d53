import { randomUUID } from 'node:crypto'
import { type Digest, isDigest } from '../../../common/oci/digest.ts'
import type { Content } from './content.ts'

/** A manifest as it was pushed. */
export interface StoredManifest {
  readonly mediaType: string
  readonly digest: Digest
  readonly bytes: Uint8Array
}

/** An upload that was begun and not finished. */
export interface Upload {
  readonly repository: string
  readonly chunks: Buffer[]
  size: number
}

/** What a registry holds, in memory. A blob is visible in the repositories it was pushed or mounted to, and in no other. */
export interface Store {
  blob(repository: string, digest: string): Content | undefined
  addBlob(repository: string, digest: Digest, content: Content): void
  removeBlob(repository: string, digest: string): boolean
  /** By tag or digest. */
  manifest(repository: string, reference: string): StoredManifest | undefined
  addManifest(repository: string, reference: string, manifest: StoredManifest): void
  /** A tag goes alone; a digest takes its tags with it. */
  removeManifest(repository: string, reference: string): boolean
  /** Sorted; undefined when the repository does not exist. */
  tags(repository: string): readonly string[] | undefined
  /** @returns the upload's id */
  beginUpload(repository: string): string
  upload(repository: string, id: string): Upload | undefined
  endUpload(id: string): void
}

interface Repository {
  readonly blobs: Map<string, Content>
  readonly manifests: Map<string, StoredManifest>
  readonly tags: Map<string, Digest>
}

/** Makes an empty store. */
export function createStore(): Store {
  const repositories = new Map<string, Repository>()
  const uploads = new Map<string, Upload>()
  const make = (name: string): Repository => {
    const repository = repositories.get(name) ?? {
      blobs: new Map(),
      manifests: new Map(),
      tags: new Map(),
    }
    repositories.set(name, repository)
    return repository
  }
  const digestFor = (repository: Repository | undefined, reference: string) =>
    isDigest(reference) ? reference : (repository?.tags.get(reference) ?? '')
  return {
    blob: (name, digest) => repositories.get(name)?.blobs.get(digest),
    addBlob: (name, digest, content) => {
      make(name).blobs.set(digest, content)
    },
    removeBlob: (name, digest) => repositories.get(name)?.blobs.delete(digest) ?? false,
    manifest: (name, reference) => {
      const repository = repositories.get(name)
      return repository?.manifests.get(digestFor(repository, reference))
    },
    addManifest: (name, reference, manifest) => {
      const repository = make(name)
      repository.manifests.set(manifest.digest, manifest)
      if (!isDigest(reference)) repository.tags.set(reference, manifest.digest)
    },
    removeManifest: (name, reference) => {
      const repository = repositories.get(name)
      if (repository === undefined) return false
      if (!isDigest(reference)) return repository.tags.delete(reference)
      for (const [tag, digest] of repository.tags) {
        if (digest === reference) repository.tags.delete(tag)
      }
      return repository.manifests.delete(reference)
    },
    tags: (name) => {
      const repository = repositories.get(name)
      return repository === undefined ? undefined : [...repository.tags.keys()].sort()
    },
    beginUpload: (repository) => {
      const id = randomUUID()
      uploads.set(id, { repository, chunks: [], size: 0 })
      return id
    },
    upload: (repository, id) => {
      const upload = uploads.get(id)
      return upload?.repository === repository ? upload : undefined
    },
    endUpload: (id) => {
      uploads.delete(id)
    },
  }
}

import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Digest, isDigest } from '../../common/oci/digest.ts'
import { formatReference, type Reference } from '../../common/oci/reference.ts'
import { createKeyedLock } from '../keyed-lock.ts'
import { readRecord } from './record.ts'
import { readSmallFile, writeSmallFile } from './small-file.ts'

/** Who asks a registry: a salted hash of host, user and secret (see credential-identity.ts), or {@link ANYONE}. */
export type CredentialIdentity = string

/** Anonymous access: what anyone may read. */
export const ANYONE: CredentialIdentity = 'anyone'

/**
 * Who has proved access to which manifest, and what each of them was last told a tag means. Presence in the cache is no permission,
 * and one tenant's pull never decides what a tag means for another.
 */
export interface AccessStore {
  /** Answers whether one of `identities` has received the manifest itself from its registry. */
  isProven(
    reference: Reference,
    digest: Digest,
    identities: readonly CredentialIdentity[],
  ): Promise<boolean>

  /** Records that `identity` received the manifest of `digest` from its registry, whole and verified. */
  recordProof(reference: Reference, digest: Digest, identity: CredentialIdentity): Promise<void>

  /** What the reference's tag last resolved to for the first of `identities` that has resolved it. */
  tagDigest(
    reference: Reference,
    identities: readonly CredentialIdentity[],
  ): Promise<Digest | undefined>

  /** Remembers what a tag resolved to; only after the manifest was verified and parsed. */
  recordTag(reference: Reference, digest: Digest, identity: CredentialIdentity): Promise<void>
}

/**
 * @param directories `proofs`: the store's `access/`; `tags`: its `refs/`
 * @param now milliseconds since the epoch
 */
export function createAccessStore(options: {
  readonly directories: { readonly proofs: string; readonly tags: string }
  readonly now?: () => number
}): AccessStore {
  const { directories, now = Date.now } = options
  const files = createKeyedLock()

  const proofsPath = ({ registry, repository }: Reference, digest: Digest) =>
    hashedPath(directories.proofs, `${registry}/${repository}@${digest}`)
  const tagsPath = ({ registry, repository, tag = 'latest' }: Reference) =>
    hashedPath(directories.tags, `${registry}/${repository}:${tag}`)

  const update = async <T>(
    path: string,
    parse: (value: unknown) => Map<string, T>,
    change: (entries: Map<string, T>) => void,
    name: string,
  ) => {
    using _ = await files.acquire(path)
    const file = await readSmallFile(path, parse)
    const entries = file.state === 'ok' ? file.value : new Map<string, T>()
    change(entries)
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeSmallFile(path, JSON.stringify({ name, entries: Object.fromEntries(entries) }))
  }

  return {
    async isProven(reference, digest, identities) {
      const file = await readSmallFile(proofsPath(reference, digest), parseProofs)
      return file.state === 'ok' && identities.some((identity) => file.value.has(identity))
    },

    recordProof: (reference, digest, identity) =>
      update(
        proofsPath(reference, digest),
        parseProofs,
        (entries) => entries.set(identity, now()),
        `${reference.registry}/${reference.repository}@${digest}`,
      ),

    async tagDigest(reference, identities) {
      const file = await readSmallFile(tagsPath(reference), parseTags)
      if (file.state !== 'ok') return undefined
      for (const identity of identities) {
        const digest = file.value.get(identity)
        if (digest !== undefined) return digest
      }
      return undefined
    },

    recordTag: (reference, digest, identity) =>
      update(
        tagsPath(reference),
        parseTags,
        (entries) => entries.set(identity, digest),
        formatReference(reference),
      ),
  }
}

function hashedPath(directory: string, name: string): string {
  const hash = createHash('sha256').update(name).digest('hex')
  return join(directory, hash.slice(0, 2), `${hash}.json`)
}

function parseProofs(value: unknown): Map<CredentialIdentity, number> {
  return new Map(readRecord(value).entries('entries'))
}

function parseTags(value: unknown): Map<CredentialIdentity, Digest> {
  const entries = readRecord(value).record('entries')
  const tags = new Map<CredentialIdentity, Digest>()
  for (const identity of entries.keys()) {
    const digest = entries.text(identity)
    if (!isDigest(digest)) throw new TypeError(`${identity} has no digest`)
    tags.set(identity, digest)
  }
  return tags
}

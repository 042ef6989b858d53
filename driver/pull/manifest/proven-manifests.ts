import pLimit from 'p-limit'
import type { Digest } from '../../../common/oci/digest.ts'
import type { ImageIndex, ImageManifest } from '../../../common/oci/manifest.ts'
import type { Reference } from '../../../common/oci/reference.ts'
import { type AccessStore, type CredentialIdentity, isOfAge } from '../../store/access.ts'
import type { ManifestStore } from '../../store/manifests.ts'
import type { AccessRules } from '../access-rules.ts'
import type { ManifestParser } from './manifest-parser.ts'
import type { RecentManifests } from './recent-manifests.ts'

/** The node's manifests, each for those who have proved that they may read it. */
export interface ProvenManifests {
  /**
   * Reads a manifest that this caller has received from the registry himself, and not too long ago; nobody is asked.
   *
   * @param who his credential identities
   * @param onTooOld hears how old the proof is, in milliseconds, if that is all that it lacks
   * @returns undefined without a proof that counts, or when the node does not have it
   */
  get(
    reference: Reference,
    digest: Digest,
    who: readonly CredentialIdentity[],
    onTooOld?: (ageMs: number) => void,
  ): Promise<ImageManifest | ImageIndex | undefined>
}

/** Manifests of the disk that are in memory to be parsed, one after the other. */
const READS_AT_ONCE = 4

export function createProvenManifests(options: {
  readonly manifests: ManifestStore
  readonly access: AccessStore
  readonly parse: ManifestParser
  readonly recent: RecentManifests
  readonly rules: Pick<AccessRules, 'maxAgeMs'>
  /** Milliseconds since the epoch. */
  readonly now: () => number
}): ProvenManifests {
  const { manifests, access, parse, recent, rules, now } = options
  const reads = pLimit(READS_AT_ONCE)

  const read = async (digest: Digest) => {
    // Perhaps read while this one waited.
    const known = recent.get(digest)
    if (known !== undefined) return known
    const bytes = await manifests.get(digest)
    if (bytes === undefined) return undefined
    const manifest = await parse(bytes)
    recent.set(digest, manifest, bytes.length)
    return manifest
  }

  return {
    async get(reference, digest, who, onTooOld = () => {}) {
      const proof = await access.proof(reference, digest, who)
      if (proof === undefined) return undefined
      if (!isOfAge(proof, now(), rules.maxAgeMs)) {
        onTooOld(now() - proof.provedMs)
        return undefined
      }
      return recent.get(digest) ?? reads(() => read(digest))
    },
  }
}

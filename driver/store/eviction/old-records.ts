import { isCodedError } from '../../../common/errors.ts'
import type { Digest } from '../../../common/oci/digest.ts'
import type { ManifestParser } from '../../pull/manifest/manifest-parser.ts'
import type { Store } from '../store.ts'

/** Longer than most things that come back: a monthly job, a rollback. */
const MAX_AGE_MS = 31 * 24 * 60 * 60 * 1_000
/** Of a manifest that nobody may read: it is written just before it is known who may. */
const MANIFEST_GRACE_MS = 24 * 60 * 60 * 1_000

/**
 * Forgets manifests, tags, and who may read what, a month after their last use, so that they do not grow for ever. What belongs to a tree that is here
 * stays, so that a node without its registry can go on using it.
 *
 * @param options.now milliseconds since the epoch
 */
export async function removeOldRecords(options: {
  readonly store: Pick<Store, 'access' | 'manifests' | 'trees'>
  readonly parseManifest: ManifestParser
  readonly now: number
}): Promise<void> {
  const { parseManifest, now } = options
  const { access, manifests, trees } = options.store
  const shown = new Set<string>()
  for (const { facts } of await trees.survey()) shown.add(facts.manifest)
  const decided = new Map<Digest, boolean>()

  /** An index is wanted with one of its manifests. Answered once for each. */
  const isWanted = async (digest: Digest): Promise<boolean> => {
    if (shown.has(digest)) return true
    const known = decided.get(digest)
    if (known !== undefined) return known
    // Also ends a circle, which no hash can be in.
    decided.set(digest, false)
    for (const child of await childrenOf(digest)) {
      if (!(await isWanted(child))) continue
      decided.set(digest, true)
      return true
    }
    return false
  }

  const childrenOf = async (digest: Digest): Promise<readonly Digest[]> => {
    const bytes = await manifests.get(digest)
    if (bytes === undefined) return []
    try {
      const parsed = await parseManifest(bytes)
      return parsed.kind === 'index' ? parsed.manifests.map((child) => child.digest) : []
    } catch (error) {
      // It could be read when it came: an admin has lowered a limit since, and nobody may use it now.
      if (isCodedError(error, 'INVALID', 'CORRUPT', 'EXHAUSTED')) return []
      throw error
    }
  }

  const readable = await access.removeOld(now - MAX_AGE_MS, isWanted)
  await manifests.removeOld(
    now - MANIFEST_GRACE_MS,
    (digest) => readable.has(digest) || shown.has(digest),
  )
}

import type { PullPolicy, Source } from '../../../common/composition/composition.ts'
import { CodedError, isCodedError } from '../../../common/errors.ts'
import type { ArtifactSource, CallOptions } from '../../../common/oci/artifact-source.ts'
import type { Keyring } from '../../../common/oci/credentials.ts'
import type { Platform } from '../../../common/oci/descriptor.ts'
import type { Digest } from '../../../common/oci/digest.ts'
import type { ImageIndex, ImageManifest } from '../../../common/oci/manifest.ts'
import { formatReference, type Reference } from '../../../common/oci/reference.ts'
import type { AccessStore } from '../../store/access.ts'
import type { ManifestStore } from '../../store/manifests.ts'
import { namingReference } from '../about-reference.ts'
import { credentialIdentity, keyringIdentities } from '../credential-identity.ts'
import { createJobs } from '../jobs.ts'
import type { PullLimits } from '../pull-limits.ts'
import { type ChosenManifest, chooseManifest } from './choose-manifest.ts'
import { createManifestParser } from './manifest-parser.ts'
import { createRecentManifests } from './recent-manifests.ts'

/** A manifest that this caller has proved he may read. */
export interface Resolved extends ChosenManifest {
  /** What the reference names: of an index, if that is what it names. */
  readonly digest: Digest
}

/** Who asks, and until when. */
export interface ResolveOptions {
  readonly keyring: Keyring
  readonly signal: AbortSignal
  /** Answers whether the node has the whole content of a manifest, so that `IfNotPresent` need not ask. */
  readonly isPresent: (resolved: Resolved) => Promise<boolean>
}

/** Turns what a pod asks for into a verified manifest, asking the registry no more than the pull policy demands. */
export interface Resolver extends AsyncDisposable {
  /**
   * @throws NOT_FOUND with policy `Never` when the node does not have it or this caller has not proved access; CORRUPT or INVALID for a
   * manifest that cannot be used; else as {@link ArtifactSource}
   */
  resolve(source: Source, options: ResolveOptions): Promise<Resolved>
}

/** The kubelet's rule for images: a tag that moves by convention is looked up each time. */
export function effectivePullPolicy({ reference, pullPolicy }: Source): PullPolicy {
  if (pullPolicy !== undefined) return pullPolicy
  if (reference.digest !== undefined) return 'IfNotPresent'
  return (reference.tag ?? 'latest') === 'latest' ? 'Always' : 'IfNotPresent'
}

export function createResolver(options: {
  readonly source: ArtifactSource
  readonly manifests: ManifestStore
  readonly access: AccessStore
  readonly salt: string
  /** The node's, for sources that name none. */
  readonly platform: Platform
  readonly limits: Pick<PullLimits, 'manifest' | 'indexDepth'>
}): Resolver {
  const { source, manifests, access, salt, platform: nodePlatform, limits } = options
  const parse = createManifestParser(limits.manifest)
  const remembered = createRecentManifests(MAX_REMEMBERED_BYTES)

  /** The manifest from disk, if this caller has once received it from the registry himself. */
  const fromCache = async (reference: Reference, digest: Digest, keyring: Keyring) => {
    const identities = keyringIdentities(salt, keyring, reference)
    if (!(await access.isProven(reference, digest, identities))) return undefined
    const known = remembered.get(digest)
    if (known !== undefined) return known
    const bytes = await manifests.get(digest)
    if (bytes === undefined) return undefined
    const manifest = await parse(bytes)
    remembered.set(digest, manifest, bytes.length)
    return manifest
  }

  const requests = createJobs<{ digest: Digest; parsed: ImageManifest | ImageIndex }>()

  /**
   * The manifest from its registry; being sent it, whole, is the proof of access. Callers with the same credentials who ask at the
   * same time share one request: fifty pods that start together do not hammer a registry.
   */
  const fromRegistry = (reference: Reference, { keyring, signal }: ResolveOptions) =>
    requests.join(
      [formatReference(reference), ...keyringIdentities(salt, keyring, reference)].join(' '),
      (job) => request(reference, { keyring, signal: job.signal }),
      signal,
    )

  const request = async (reference: Reference, call: CallOptions) => {
    const fetched = await source.manifest(reference, call)
    const { digest } = fetched.descriptor
    // Parsed before anything is remembered: a captive portal's page must not stick.
    const parsed = await namingReference(reference, () => parse(fetched.bytes))
    remembered.set(digest, parsed, fetched.bytes.length)
    const identity = credentialIdentity(salt, reference.registry, fetched.credential)
    await manifests.put(digest, fetched.bytes)
    await access.recordProof(reference, digest, identity)
    if (reference.digest === undefined) await access.recordTag(reference, digest, identity)
    return { digest, parsed }
  }

  const byDigest = async (reference: Reference, digest: Digest, caller: ResolveOptions) => {
    const named = withDigest(reference, digest)
    return (
      (await fromCache(named, digest, caller.keyring)) ?? (await fromRegistry(named, caller)).parsed
    )
  }

  /** From a manifest or index to the manifest for the platform that is asked for. */
  const choose = async (
    { reference, platform = nodePlatform }: Source,
    digest: Digest,
    load: (digest: Digest) => Promise<ImageManifest | ImageIndex | undefined>,
    loaded?: ImageManifest | ImageIndex,
  ): Promise<Resolved | undefined> => {
    const parsed = loaded ?? (await load(digest))
    if (parsed === undefined) return undefined
    const maxIndexDepth = limits.indexDepth
    const chosen = await chooseManifest({
      reference,
      digest,
      parsed,
      platform,
      maxIndexDepth,
      load,
    })
    return chosen && { digest, ...chosen }
  }

  const cached = async (asked: Source, digest: Digest, caller: ResolveOptions) => {
    try {
      const load = (child: Digest) => fromCache(asked.reference, child, caller.keyring)
      const resolved = await choose(asked, digest, load)
      return resolved !== undefined && (await caller.isPresent(resolved)) ? resolved : undefined
    } catch (error) {
      // A tag may have got the platform since. What has not changed fails again below.
      if (isCodedError(error, 'INVALID') && asked.pullPolicy !== 'Never') return undefined
      throw error
    }
  }

  return {
    async resolve(asked, caller) {
      const { reference } = asked
      const policy = effectivePullPolicy(asked)
      const identities = keyringIdentities(salt, caller.keyring, reference)
      const known = reference.digest ?? (await access.tagDigest(reference, identities))

      if (known !== undefined && (policy !== 'Always' || reference.digest !== undefined)) {
        const resolved = await cached(asked, known, caller)
        if (resolved !== undefined) return resolved
      }
      if (policy === 'Never') {
        throw new CodedError(
          'NOT_FOUND',
          `Cannot use "${formatReference(reference)}": the pull policy is Never, and this node does not have it from an earlier pull with these credentials`,
        )
      }
      const load = (child: Digest) => byDigest(reference, child, caller)
      if (reference.digest === undefined && known === undefined) {
        const { digest, parsed } = await fromRegistry(reference, caller)
        return present(await choose(asked, digest, load, parsed))
      }
      const digest = reference.digest ?? (await source.resolve(reference, caller)).digest
      const resolved = present(await choose(asked, digest, load))
      if (reference.digest === undefined && digest !== known) {
        // The manifest was received by its digest just now, or earlier by this caller: what the tag means is his to remember.
        const [identity] = identities
        if (identity !== undefined) await access.recordTag(reference, digest, identity)
      }
      return resolved
    },
    [Symbol.asyncDispose]: () => requests[Symbol.asyncDispose](),
  }
}

/** Of manifests as they are written; parsed they take a few times as much memory. */
const MAX_REMEMBERED_BYTES = 4 * 1024 * 1024

function present(resolved: Resolved | undefined): Resolved {
  if (resolved === undefined) throw new CodedError('INTERNAL', 'A loaded manifest is missing')
  return resolved
}

function withDigest({ registry, repository }: Reference, digest: Digest): Reference {
  return { registry, repository, digest }
}

import type { PullPolicy, Source } from '../../../common/composition/composition.ts'
import { CodedError, isCodedError } from '../../../common/errors.ts'
import type { ArtifactSource } from '../../../common/oci/artifact-source.ts'
import type { Platform } from '../../../common/oci/descriptor.ts'
import type { Digest } from '../../../common/oci/digest.ts'
import type { ImageIndex, ImageManifest } from '../../../common/oci/manifest.ts'
import { formatReference, type Reference } from '../../../common/oci/reference.ts'
import type { AccessStore } from '../../store/access.ts'
import type { ManifestStore } from '../../store/manifests.ts'
import { type AccessRules, DEFAULT_ACCESS_RULES } from '../access-rules.ts'
import { credentialIdentity, keyringIdentities } from '../credential-identity.ts'
import type { PullLimits } from '../pull-limits.ts'
import { type ChosenManifest, chooseManifest } from './choose-manifest.ts'
import { createManifestParser } from './manifest-parser.ts'
import { type Asker, createManifestRequests, type ManifestTurns } from './manifest-requests.ts'
import { createProvenManifests } from './proven-manifests.ts'
import { createRecentManifests } from './recent-manifests.ts'

/** A manifest that this caller has proved he may read. */
export interface Resolved extends ChosenManifest {
  /** What the reference names: of an index, if that is what it names. */
  readonly digest: Digest
}

/** Who asks, and until when. */
export interface ResolveOptions extends Omit<Asker, 'who'> {
  /** Answers whether the node has the whole content of a manifest, so that `IfNotPresent` need not ask. */
  readonly isPresent: (resolved: Resolved) => Promise<boolean>
}

/**
 * Turns what a pod asks for into a verified manifest that this caller may read, asking the registry no more than the pull policy demands.
 *
 * What is on the node is no permission. A caller may read a manifest when one of his credential identities, or anyone, was sent it, whole, by
 * a host that checks who may read (the registry's server, or a mirror that the admin vouches for), and not longer ago than the rules say:
 *
 * - Manifests are asked of such hosts only. A mirror that answers anybody would make the driver a reader of what the pod itself is
 *   refused, so that mirrors that are not vouched for serve tags and blobs, and a pod of which nothing is recorded cannot start from
 *   them alone while the server is down.
 * - A record that is too old is renewed by one GET of the manifest that it is about, also with policy `Never`, which forbids to fetch
 *   content and not to ask. Without a record, `Never` fails and nobody is asked.
 * - A registry that does not answer stops nobody whose record counts: where a tag has to be looked up (`Always`), it means what it last
 *   meant for this caller. A kubelet would let the pod wait; the design wants it to start. The log has a warning.
 * - What a registry refuses (401, 403, 404) is remembered for a few seconds for that reference and those credentials.
 */
export interface Resolver extends AsyncDisposable {
  /**
   * @throws NOT_FOUND with policy `Never` when the node does not have it or this caller has not proved access; CORRUPT or INVALID for a
   * manifest that cannot be used; else as {@link ArtifactSource}
   */
  resolve(source: Source, options: ResolveOptions): Promise<Resolved>
}

/** Hears that a tag was taken for what it last meant, since the registry did not answer. */
export type OnOutage = (outage: {
  /** As it is written. */
  readonly reference: string
  readonly digest: Digest
  readonly error: unknown
}) => void

/** The kubelet's rule for images: a tag that moves by convention is looked up each time. */
export function effectivePullPolicy({ reference, pullPolicy }: Source): PullPolicy {
  if (pullPolicy !== undefined) return pullPolicy
  if (reference.digest !== undefined) return 'IfNotPresent'
  return (reference.tag ?? 'latest') === 'latest' ? 'Always' : 'IfNotPresent'
}

/** Who asks, until when, and as whom he is recorded. */
interface Caller extends ResolveOptions, Asker {}

/** What a look at the node's own records came to. */
interface Look {
  /** The manifest, if its access is proven and the node has the whole content. */
  readonly resolved?: Resolved | undefined
  /** How old the proof is that no longer counts, in milliseconds. */
  readonly tooOldMs?: number | undefined
}

export function createResolver(options: {
  readonly source: ArtifactSource
  readonly manifests: ManifestStore
  readonly access: AccessStore
  readonly salt: string
  /** The node's, for sources that name none. */
  readonly platform: Platform
  readonly limits: Pick<PullLimits, 'manifest' | 'indexDepth'>
  readonly rules?: AccessRules
  readonly onOutage?: OnOutage
  /** How many manifests are on their way at once; what is absent is the default. */
  readonly manifestTurns?: Partial<ManifestTurns>
  /** Milliseconds since the epoch. */
  readonly now?: () => number
}): Resolver {
  const {
    source,
    manifests,
    access,
    salt,
    platform: nodePlatform,
    limits,
    now = Date.now,
  } = options
  const { rules = DEFAULT_ACCESS_RULES, onOutage = () => {} } = options
  const parse = createManifestParser(limits.manifest)
  const recent = createRecentManifests(MAX_REMEMBERED_BYTES)
  const proven = createProvenManifests({ manifests, access, parse, recent, rules, now })
  const requests = createManifestRequests({
    ...{ source, manifests, access, salt, parse, recent, rules, now },
    turns: options.manifestTurns,
  })

  const byDigest = async (reference: Reference, digest: Digest, caller: Caller) =>
    (await proven.get(reference, digest, caller.who)) ??
    (await requests.fetch(withDigest(reference, digest), caller)).parsed

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

  /** What the node's own records let this caller have, without a word to the registry. */
  const look = async (asked: Source, digest: Digest, caller: Caller): Promise<Look> => {
    let tooOldMs: number | undefined
    const load = (child: Digest) =>
      proven.get(asked.reference, child, caller.who, (ageMs) => {
        tooOldMs = ageMs
      })
    try {
      const resolved = await choose(asked, digest, load)
      if (resolved === undefined || !(await caller.isPresent(resolved))) return { tooOldMs }
      return { resolved }
    } catch (error) {
      // A tag may have got the platform since. What has not changed fails again below.
      if (isUnfit(error) && asked.pullPolicy !== 'Never') return {}
      throw error
    }
  }

  /** The same after one small request has made the proof anew. What the registry no longer has under a tag may be another by now. */
  const renew = async (asked: Source, digest: Digest, caller: Caller, ageMs: number) => {
    const load = (child: Digest) => byDigest(asked.reference, child, caller)
    try {
      const resolved = present(await choose(asked, digest, load))
      return (await caller.isPresent(resolved)) ? resolved : undefined
    } catch (error) {
      const mayHaveMoved = asked.reference.digest === undefined && asked.pullPolicy !== 'Never'
      if (mayHaveMoved && (isUnfit(error) || isCodedError(error, 'NOT_FOUND'))) return undefined
      throw isCodedError(error, 'UNAVAILABLE') ? tooOld(error, ageMs, rules) : error
    }
  }

  /** What the registry says the tag means, and that. */
  const resolveTag = async (asked: Source, known: Digest | undefined, caller: Caller) => {
    const { reference } = asked
    const { digest, credential } = await requests.lookUpTag(reference, caller)
    const load = (child: Digest) => byDigest(reference, child, caller)
    const resolved = present(await choose(asked, digest, load))
    if (digest !== known) {
      // The manifest was received by its digest just now, or earlier by this caller: what the tag means is his to remember.
      // What it took a credential to be told is its holder's, though anyone may have proved that he may read the manifest.
      const told = credential && credentialIdentity(salt, reference.registry, credential)
      const proof = await access.proof(reference, digest, told === undefined ? caller.who : [told])
      if (proof !== undefined) await access.recordTag(reference, digest, proof.identity)
    }
    return resolved
  }

  /** The same, where the node has what the tag last meant for this caller: a registry that does not answer is not waited for. */
  const resolveTagOrKeep = async (
    asked: Source,
    known: Digest,
    kept: Resolved,
    caller: Caller,
  ): Promise<Resolved> => {
    const patience = AbortSignal.timeout(rules.patienceMs)
    const signal = AbortSignal.any([caller.signal, patience])
    try {
      return await resolveTag(asked, known, { ...caller, signal })
    } catch (error) {
      caller.signal.throwIfAborted()
      // A refusal that comes late is one.
      if (error !== patience.reason && !isCodedError(error, 'UNAVAILABLE')) throw error
      onOutage({ reference: formatReference(asked.reference), digest: known, error })
      return kept
    }
  }

  return {
    async resolve(asked, options) {
      const { reference } = asked
      const policy = effectivePullPolicy(asked)
      const who = keyringIdentities(salt, options.keyring, reference)
      const caller = { ...options, who }
      const known = reference.digest ?? (await access.tagDigest(reference, who))

      // 1. Without asking, or by asking only whether this caller still may.
      const seen = known === undefined ? {} : await look(asked, known, caller)
      const isMoving = policy === 'Always' && reference.digest === undefined
      if (known !== undefined && !isMoving) {
        if (seen.resolved !== undefined) return seen.resolved
        const renewed =
          seen.tooOldMs === undefined ? undefined : await renew(asked, known, caller, seen.tooOldMs)
        if (renewed !== undefined) return renewed
      }
      if (policy === 'Never') {
        throw new CodedError(
          'NOT_FOUND',
          `Cannot use "${formatReference(reference)}": the pull policy is Never, and this node does not have it from an earlier pull with these credentials`,
        )
      }

      // 2. The registry decides.
      const load = (child: Digest) => byDigest(reference, child, caller)
      if (reference.digest !== undefined) {
        return present(await choose(asked, reference.digest, load))
      }
      if (known === undefined) {
        const { digest, parsed } = await requests.fetch(reference, caller)
        return present(await choose(asked, digest, load, parsed))
      }
      return seen.resolved === undefined
        ? resolveTag(asked, known, caller)
        : resolveTagOrKeep(asked, known, seen.resolved, caller)
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

/** The manifest is what it is, and not what is asked for. */
function isUnfit(error: unknown): boolean {
  return isCodedError(error, 'INVALID', 'EXHAUSTED')
}

/** An outage that meets a record which no longer counts. */
function tooOld(error: CodedError, ageMs: number, { maxAgeMs }: AccessRules): CodedError {
  return new CodedError(
    error.code,
    `${error.message}; this node has it, but these credentials last proved access ${formatHours(ageMs)} ago and are to prove it again after ${formatHours(maxAgeMs)} (the driver's --access-max-age)`,
    { cause: error },
  )
}

function formatHours(ms: number): string {
  const minutes = Math.round(ms / 60_000)
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`
}

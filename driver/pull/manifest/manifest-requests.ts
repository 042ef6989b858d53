import { CodedError } from '../../../common/errors.ts'
import type {
  ArtifactSource,
  CallOptions,
  NamedManifest,
} from '../../../common/oci/artifact-source.ts'
import type { Keyring } from '../../../common/oci/credentials.ts'
import type { Digest } from '../../../common/oci/digest.ts'
import type { ImageIndex, ImageManifest } from '../../../common/oci/manifest.ts'
import { formatReference, type Reference } from '../../../common/oci/reference.ts'
import { subjectOf } from '../../../common/oci/subject.ts'
import type { AccessStore, CredentialIdentity } from '../../store/access.ts'
import type { ManifestStore } from '../../store/manifests.ts'
import { namingReference } from '../about-reference.ts'
import type { AccessRules } from '../access-rules.ts'
import { credentialIdentity } from '../credential-identity.ts'
import { createJobs, type Jobs } from '../jobs.ts'
import { createTurns } from '../turns.ts'
import type { ManifestParser } from './manifest-parser.ts'
import type { RecentManifests } from './recent-manifests.ts'
import { createRefusals } from './refusals.ts'

/** Who asks a registry, with what, and until when. */
export interface Asker {
  readonly keyring: Keyring
  /** What his credentials are recorded as, in the order they are tried. */
  readonly who: readonly CredentialIdentity[]
  readonly signal: AbortSignal
}

/** A manifest that was received, verified and parsed. */
export interface ReceivedManifest {
  readonly digest: Digest
  readonly parsed: ImageManifest | ImageIndex
}

/** How many manifests are on their way at once, and with how slow a registry. */
export type ManifestTurns = Parameters<typeof createTurns>[0]

/**
 * The requests that registries are sent about manifests: each once for all who ask it at the same time with the same credentials, so that
 * fifty pods that start together do not hammer a registry, and none that was refused a moment ago.
 *
 * The disposal ends those that are under way.
 */
export interface ManifestRequests extends AsyncDisposable {
  /**
   * Fetches a manifest from a host that checks who may read it. Being sent it, whole, is the proof of access: it is recorded, and for a
   * reference by tag what the tag means.
   *
   * @throws DENIED when only a mirror that checks nothing has it; CORRUPT or INVALID for a manifest that cannot be used; else as {@link ArtifactSource}
   */
  fetch(reference: Reference, asker: Asker): Promise<ReceivedManifest>

  /** Asks what a tag means now. It is the registry's claim, and no proof of access. @throws as {@link ArtifactSource} */
  lookUpTag(reference: Reference, asker: Asker): Promise<NamedManifest>
}

/**
 * Of 4 MiB each at most, 64 MiB of the driver's memory while they come in. A pod may ask for over a thousand, at registries of its own that send
 * all but the last byte: those give way after a while, and until then have not all of the turns.
 */
const MANIFEST_TURNS: ManifestTurns = {
  total: 16,
  perSharer: 4,
  patience: { windowMs: 15_000, minBytesPerSecond: 1 },
}

export function createManifestRequests(options: {
  readonly source: ArtifactSource
  readonly manifests: ManifestStore
  readonly access: AccessStore
  readonly salt: string
  readonly parse: ManifestParser
  /** Told what was parsed. */
  readonly recent: Pick<RecentManifests, 'set'>
  readonly rules: Pick<AccessRules, 'refusalMs'>
  /** What is absent is the default. */
  readonly turns?: Partial<ManifestTurns> | undefined
  /** Milliseconds since the epoch. */
  readonly now: () => number
}): ManifestRequests {
  const { source, manifests, access, salt, parse, recent, now } = options
  const refusals = createRefusals({ memoryMs: options.rules.refusalMs, now })
  const turns = createTurns({ ...MANIFEST_TURNS, ...options.turns })
  const manifestJobs = createJobs<ReceivedManifest>()
  const tagJobs = createJobs<NamedManifest>()

  const ask = async <T>(
    jobs: Jobs<T>,
    reference: Reference,
    { who, keyring, signal }: Asker,
    send: (call: CallOptions) => Promise<T>,
  ): Promise<T> => {
    const name = formatReference(reference)
    return jobs.join(
      [name, ...who].join(' '),
      async (job) => {
        refusals.check(name, who)
        try {
          const answer = await send({ keyring, signal: job.signal })
          refusals.clear(name)
          return answer
        } catch (error) {
          refusals.note(name, who, error)
          throw error
        }
      },
      signal,
    )
  }

  const receive = async (reference: Reference, call: CallOptions): Promise<ReceivedManifest> => {
    const fetched = await source.manifest(reference, { ...call, authoritativeOnly: true })
    if (!fetched.authoritative) throw provesNothing(reference)
    const { digest } = fetched.descriptor
    // Parsed before anything is remembered: a captive portal's page must not stick.
    const parsed = await namingReference(reference, () => parse(fetched.bytes))
    recent.set(digest, parsed, fetched.bytes.length)
    const identity = credentialIdentity(salt, reference.registry, fetched.credential)
    await manifests.put(digest, fetched.bytes)
    await access.recordProof(reference, digest, identity)
    if (reference.digest === undefined) await access.recordTag(reference, digest, identity)
    return { digest, parsed }
  }

  return {
    fetch: (reference, asker) =>
      ask(manifestJobs, reference, asker, (call) =>
        turns.take({
          sharer: reference.registry,
          signal: call.signal,
          tooSlow: (ms) => tooSlow(reference, ms),
          // Parsed in the same turn: until then its bytes are in memory.
          work: (signal) => receive(reference, { ...call, signal }),
        }),
      ),
    lookUpTag: (reference, asker) =>
      ask(tagJobs, reference, asker, (call) => source.resolve(reference, call)),
    async [Symbol.asyncDispose]() {
      await manifestJobs[Symbol.asyncDispose]()
      await tagJobs[Symbol.asyncDispose]()
    },
  }
}

function provesNothing(reference: Reference): CodedError {
  return new CodedError(
    'DENIED',
    `${subjectOf(reference)}: the manifest came from a mirror that does not check who may read it; expected it from the registry's server, or from a mirror that the admin vouches for in the hosts.toml of the registry`,
  )
}

function tooSlow(reference: Reference, ms: number): CodedError {
  return new CodedError(
    'UNAVAILABLE',
    `${subjectOf(reference)}: the registry has not sent the manifest in ${Math.round(ms / 1_000)} s, and other manifests waited for their turn`,
  )
}

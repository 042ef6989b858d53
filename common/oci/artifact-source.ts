import type { BlobRoute } from './blob-route.ts'
import type { Credential, Keyring } from './credentials.ts'
import type { Descriptor } from './descriptor.ts'
import type { Reference } from './reference.ts'

/** What every call to a source carries. */
export interface CallOptions {
  readonly signal: AbortSignal
  /** Whose credentials are tried, before anonymous access. */
  readonly keyring: Keyring
  /**
   * Asks only hosts that check who may read, see {@link FetchedManifest.authoritative}, for what is to be a proof of access. Default false:
   * every host that can serve it, in their order.
   */
  readonly authoritativeOnly?: boolean
}

/** What a tag means, as a server claims it. */
export interface NamedManifest extends Descriptor {
  /** The caller's credential that it took to be told; absent when it is what anyone here is told. */
  readonly credential?: Credential
}

/** A manifest or index as its source sent it. */
export interface FetchedManifest {
  readonly descriptor: Descriptor
  /** Hash to `descriptor.digest`; at most 4 MiB. Not parsed yet. */
  readonly bytes: Uint8Array
  /**
   * The caller's credential that the source accepted for this body; undefined when it is what anyone here gets: anonymously, or with
   * the node's own credentials. A body that was received and verified is the proof that its holder may read the manifest; the answer of `resolve` is not.
   */
  readonly credential: Credential | undefined
  /**
   * Whoever sent the body checks who may read: the registry's server, or a mirror that the admin vouches for. What comes from
   * others proves nobody's access.
   */
  readonly authoritative: boolean
}

/**
 * Where artifacts come from: a registry over HTTP, or an OCI layout directory. Implementations share one
 * conformance suite (test/common/oci/artifact-source.conformance.ts).
 *
 * Every method throws {@link CodedError}: `NOT_FOUND`, `UNAUTHENTICATED`, `DENIED`, `UNAVAILABLE` (after its own
 * retries), `CORRUPT`; a fired signal throws the signal's reason. Messages name the reference, what the
 * server answered and which kinds of credentials were tried, never their values nor the body of an answer.
 */
export interface ArtifactSource {
  /** Finds what a tag names now, without its content. The answer is a claim of the server, not verified. */
  resolve(reference: Reference, options: CallOptions): Promise<NamedManifest>

  /** Fetches the manifest or index that a tag or digest names. With a digest, the bytes hash to it. */
  manifest(reference: Reference, options: CallOptions): Promise<FetchedManifest>

  /**
   * Asks a host that checks who may read whether this caller may read a blob of the reference's repository, without its bytes. False for
   * whatever is not a plain yes. What the answer is worth is for the caller to judge: an attacker's registry says yes to anything. Absent where
   * nobody can be asked.
   *
   * @throws the signal's reason, and nothing else
   */
  mayRead?(reference: Reference, descriptor: Descriptor, options: CallOptions): Promise<boolean>

  /**
   * Opens a blob of the reference's repository from `offset` (default 0) to its end.
   *
   * The stream yields exactly `descriptor.size - offset` bytes, or throws: `CORRUPT` for more or fewer than that and, when
   * it starts at 0, for bytes that do not hash to the digest (the last chunk is held back until they are known to); `UNAVAILABLE`
   * when the connection breaks, after which the caller may go on from the offset it reached. From an offset the caller verifies
   * the whole. With a `route`, a download in several calls goes on where it got on well. A source that cannot start at `offset` throws `INVALID`, and nothing was yielded.
   */
  blob(
    reference: Reference,
    descriptor: Descriptor,
    options: CallOptions & { readonly offset?: number; readonly route?: BlobRoute | undefined },
  ): AsyncIterable<Uint8Array>
}

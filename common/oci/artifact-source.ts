import type { Credential, Keyring } from './credentials.ts'
import type { Descriptor } from './descriptor.ts'
import type { Reference } from './reference.ts'

/** What every call to a source carries. */
export interface CallOptions {
  readonly signal: AbortSignal
  /** Whose credentials are tried, before anonymous access. */
  readonly keyring: Keyring
}

/** A manifest or index as its source sent it. */
export interface FetchedManifest {
  readonly descriptor: Descriptor
  /** Hash to `descriptor.digest`; at most 4 MiB. Not parsed yet. */
  readonly bytes: Uint8Array
  /**
   * The credential that the source accepted for this body; undefined for anonymous access. A body that was
   * received and verified is the proof that its holder may read the manifest; the answer of `resolve` is not.
   */
  readonly credential: Credential | undefined
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
  resolve(reference: Reference, options: CallOptions): Promise<Descriptor>

  /** Fetches the manifest or index that a tag or digest names. With a digest, the bytes hash to it. */
  manifest(reference: Reference, options: CallOptions): Promise<FetchedManifest>

  /**
   * Opens a blob of the reference's repository from `offset` (default 0) to its end.
   *
   * The stream yields exactly `descriptor.size - offset` bytes, or throws: `CORRUPT` for more or fewer than that and, when
   * it starts at 0, for bytes that do not hash to the digest (the last chunk is held back until they are known to); `UNAVAILABLE`
   * when the connection breaks, after which the caller may go on from the offset it reached. From an offset the caller verifies
   * the whole. A source that cannot start at `offset` throws `INVALID`, and nothing was yielded.
   */
  blob(
    reference: Reference,
    descriptor: Descriptor,
    options: CallOptions & { readonly offset?: number },
  ): AsyncIterable<Uint8Array>
}

import type { CallOptions, FetchedManifest, NamedManifest } from './artifact-source.ts'
import type { Descriptor } from './descriptor.ts'
import type { Host } from './hosts.ts'
import type { Exchange } from './redirect.ts'
import type { Reference } from './reference.ts'
import type { OtherConnections } from './registry-source.ts'

/** A part of a blob that one host is asked for. */
export interface HostPart {
  /** From 0. */
  readonly start: number
  /** Exclusive. */
  readonly end: number
  /** Connections that are not the source's own, e.g. of a thread: HTTP requests for a blob go out on these. */
  readonly connections?: OtherConnections | undefined
  /** The answer to an earlier request for a part of this blob, when this host had redirected: where it came from may be asked straight. */
  readonly earlier?: Exchange | undefined
}

/** A part of a blob whose bytes can be had: as the answer of an HTTP request, head checked, or in another way. */
export type OpenedBlob =
  | { readonly kind: 'exchange'; readonly exchange: Exchange }
  /** Neither counted nor hashed. */
  | { readonly kind: 'stream'; readonly chunks: AsyncIterable<Uint8Array> }

/**
 * How hosts of one kind are asked. Who calls goes through the hosts of a registry, calls again after a transient failure, asks the
 * next host after any other, verifies a blob's bytes, and puts the reference into the message.
 *
 * Each method throws {@link RequestFailure} (its message does not name the reference), or the signal's reason.
 */
export interface HostSource<H extends Host> {
  /** Finds what the reference's tag, or its digest, names; nothing is verified. */
  resolve(host: H, reference: Reference, call: CallOptions): Promise<NamedManifest>
  /** Fetches the manifest that a tag or digest names. With a digest, the bytes hash to it: else CORRUPT. */
  manifest(
    host: H,
    reference: Reference,
    call: CallOptions,
  ): Promise<Omit<FetchedManifest, 'authoritative'>>
  /** Opens a part of a blob; INVALID when this host can send wholes only. */
  openBlob(
    host: H,
    reference: Reference,
    descriptor: Descriptor,
    call: CallOptions & HostPart,
  ): Promise<OpenedBlob>
  /** Asks for the head of a blob: that it is there and that this caller may read it. Absent where nobody is asked who he is. */
  hasBlob?(host: H, reference: Reference, descriptor: Descriptor, call: CallOptions): Promise<void>
}

/** A source for each kind of host. */
export interface HostSources {
  readonly registry: HostSource<Extract<Host, { readonly kind: 'registry' }>>
  readonly 'layout-directory': HostSource<Extract<Host, { readonly kind: 'layout-directory' }>>
  readonly 'layout-http': HostSource<Extract<Host, { readonly kind: 'layout-http' }>>
}

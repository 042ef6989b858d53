import { CodedError } from '../errors.ts'
import type { FetchedManifest } from './artifact-source.ts'
import type { Descriptor } from './descriptor.ts'
import type { Digest } from './digest.ts'
import type { LayoutIndex, ListedManifest } from './layout-index.ts'
import { parseManifest } from './manifest.ts'
import type { Reference } from './reference.ts'
import { RequestFailure } from './request-failure.ts'

/** The documents of layouts, wherever they are. */
export interface LayoutDocuments {
  /** Reads the index.json of the reference's repository, as it is now. @throws RequestFailure */
  readIndex(reference: Reference, signal: AbortSignal): Promise<LayoutIndex>
  /** Reads a manifest; the bytes hash to the digest. @throws RequestFailure */
  readManifest(reference: Reference, digest: Digest, signal: AbortSignal): Promise<Uint8Array>
}

/** Finds manifests in layouts. */
export interface LayoutLookup {
  /** What a tag is listed as; of a digest, what its bytes are. @throws RequestFailure, the signal's reason */
  resolve(reference: Reference, signal: AbortSignal): Promise<Descriptor>
  /** @throws RequestFailure, the signal's reason */
  manifest(
    reference: Reference,
    signal: AbortSignal,
  ): Promise<Pick<FetchedManifest, 'descriptor' | 'bytes'>>
}

/** How often a tag is looked up whose manifest is gone each time: somebody pushes again and again. */
const MAX_LOOKUPS = 4

/**
 * Makes the lookup of documents. A tag is what index.json says. A manifest need not be listed to be had by its digest, as in a registry, and
 * as `oras` reads layouts: the children of an index are not listed, and who wants to know whether a digest is one would have to read them all.
 */
export function createLayoutLookup({ readIndex, readManifest }: LayoutDocuments): LayoutLookup {
  async function find(reference: Reference, signal: AbortSignal): Promise<ListedManifest> {
    const { tag } = reference
    if (tag === undefined) throw new RequestFailure('INVALID', 'expected a tag or a digest')
    const index = await readIndex(reference, signal)
    const found = reading(() => index.find(tag))
    if (found !== undefined) return found
    throw new RequestFailure('NOT_FOUND', `layout has no manifest "${tag}"`)
  }

  async function fetchDigest(reference: Reference, digest: Digest, signal: AbortSignal) {
    const bytes = await readManifest(reference, digest, signal)
    return describe({ mediaType: mediaTypeOf(bytes), digest }, bytes)
  }

  /** Between the two reads, the layout may have got another manifest for the tag and lost the older one. */
  async function fetchTag(reference: Reference, signal: AbortSignal) {
    let found = await find(reference, signal)
    for (let lookups = 1; ; lookups++) {
      try {
        return describe(found, await readManifest(reference, found.digest, signal))
      } catch (error) {
        const gone = error instanceof RequestFailure && error.code === 'NOT_FOUND'
        if (!gone || lookups === MAX_LOOKUPS) throw error
        const now = await find(reference, signal)
        if (now.digest === found.digest) throw error
        found = now
      }
    }
  }

  const manifest: LayoutLookup['manifest'] = async (reference, signal) => {
    signal.throwIfAborted()
    const { digest } = reference
    const fetched = await (digest === undefined
      ? fetchTag(reference, signal)
      : fetchDigest(reference, digest, signal))
    signal.throwIfAborted()
    return fetched
  }

  return {
    async resolve(reference, signal) {
      signal.throwIfAborted()
      if (reference.digest !== undefined) return (await manifest(reference, signal)).descriptor
      return { ...(await find(reference, signal)), annotations: {} }
    },
    manifest,
  }
}

function describe(
  { mediaType, digest }: Pick<Descriptor, 'mediaType' | 'digest'>,
  bytes: Uint8Array,
) {
  return { descriptor: { mediaType, digest, size: bytes.length, annotations: {} }, bytes }
}

/** A blob that is no manifest is none by its digest, either. */
function mediaTypeOf(bytes: Uint8Array): string {
  if (bytes.length > MAX_PARSED_BYTES) return 'application/octet-stream'
  // How much of a manifest is taken is for others to say.
  const limits = { bytes: bytes.length, children: Number.MAX_SAFE_INTEGER }
  return reading(() => parseManifest(bytes, limits).mediaType)
}

/** Whoever uses a manifest parses it again, a big one on a thread that has nothing else to do. */
const MAX_PARSED_BYTES = 256 * 1024

/** Reads a document. @throws RequestFailure, transient for one that may be half-written */
export function reading<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    const transient = error.code === 'UNAVAILABLE'
    const hint = transient ? '; is somebody writing it?' : ''
    throw new RequestFailure(error.code, error.message + hint, { transient, cause: error.cause })
  }
}

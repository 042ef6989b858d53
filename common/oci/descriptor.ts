import type { Digest } from './digest.ts'

/** The platform a manifest of an index is for, e.g. `{ os: "linux", architecture: "arm64", variant: "v8" }`. */
export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
}

/**
 * What names a piece of content and says how to check it.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md
 */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes; an integer within 2^53. */
  readonly size: number
  /** Empty when the document has none. */
  readonly annotations: Readonly<Record<string, string>>
  readonly artifactType?: string
  /** Only in the entries of an index. */
  readonly platform?: Platform
}

import type { Digest } from '../../../common/oci/digest.ts'
import type { ImageIndex, ImageManifest } from '../../../common/oci/manifest.ts'

/** Parsed manifests, as many as fit into a number of bytes; the oldest goes first. */
export interface RecentManifests {
  get(digest: Digest): ImageManifest | ImageIndex | undefined
  set(digest: Digest, manifest: ImageManifest | ImageIndex, bytes: number): void
}

/**
 * Remembers parsed manifests: parsing one of megabytes holds the event loop for a fifth of a second, and a node meets the same few
 * again and again. Whether a caller may see one is decided before it is asked for here.
 *
 * @param maxBytes of the manifests as they are written
 */
export function createRecentManifests(maxBytes: number): RecentManifests {
  const entries = new Map<Digest, { manifest: ImageManifest | ImageIndex; bytes: number }>()
  let total = 0
  return {
    get: (digest) => entries.get(digest)?.manifest,
    set(digest, manifest, bytes) {
      if (entries.has(digest)) return
      entries.set(digest, { manifest, bytes })
      total += bytes
      for (const [oldest, { bytes: freed }] of entries) {
        if (total <= maxBytes) break
        entries.delete(oldest)
        total -= freed
      }
    },
  }
}

import type { ErrorCode } from '../../../common/errors.ts'
import type { ImageIndex, ImageManifest, ManifestLimits } from '../../../common/oci/manifest.ts'

/** What a thread is to parse. */
export interface ManifestWorkerData {
  readonly bytes: Uint8Array
  readonly limits: ManifestLimits
}

/** What it says, once. */
export type ManifestReply =
  | { readonly kind: 'parsed'; readonly manifest: ImageManifest | ImageIndex }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string }

import { DEFAULT_MANIFEST_LIMITS, type ManifestLimits } from '../../common/oci/manifest.ts'
import { DEFAULT_TREE_LIMITS, type TreeLimits } from './tree/tree-limits.ts'

/** What a pull may cost the node, whoever asks for it. */
export interface PullLimits {
  readonly tree: TreeLimits
  readonly manifest: ManifestLimits
  /** How many indexes may stand one within the other. */
  readonly indexDepth: number
  /** A connection without a byte for this long is dropped. */
  readonly stallMs: number
}

/** What holds unless the admin says otherwise. */
export const DEFAULT_PULL_LIMITS: PullLimits = {
  tree: DEFAULT_TREE_LIMITS,
  manifest: DEFAULT_MANIFEST_LIMITS,
  // Deeper nesting has no use and costs a request each.
  indexDepth: 3,
  stallMs: 30_000,
}

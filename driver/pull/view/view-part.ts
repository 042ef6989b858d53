import type { Source } from '../../../common/composition/composition.ts'
import type { ImageManifest } from '../../../common/oci/manifest.ts'
import type { TreeKey } from '../../store/trees.ts'
import type { ViewPart } from '../../store/views.ts'
import { layout, layoutOptionsOf, needsView } from '../layout/layout.ts'

/**
 * Tells what of its tree a source shows, and where. Globs that took whole layers are left out: the tree has just those.
 *
 * @throws INVALID as {@link layout}
 */
export function viewPartOf(
  { path, ...source }: Source,
  manifest: ImageManifest,
  tree: TreeKey,
): ViewPart {
  const files = source.select?.files
  const picks = files !== undefined && needsView(layout(manifest, layoutOptionsOf(source)), {})
  return { tree, ...(path !== undefined && { path }), ...(picks && { files }) }
}

/** Answers whether a volume of these parts is simply one whole tree, which needs no view. */
export function isWholeTree(parts: readonly ViewPart[]): boolean {
  return parts.length === 1 && parts[0]?.path === undefined && parts[0]?.files === undefined
}

import type { TreeIdentity } from '../store/trees.ts'
import { type LayoutOptions, layout } from './layout/layout.ts'
import type { Resolved } from './manifest/resolver.ts'

/**
 * Tells which tree a source needs: by the layers that its selection comes to, not by its wording, so that equal trees are shared.
 *
 * @throws INVALID as {@link layout} when there is a selection; without one the manifest is not looked at
 */
export function treeIdentityOf(
  { manifest, manifestDigest }: Pick<Resolved, 'manifest' | 'manifestDigest'>,
  options: LayoutOptions,
): TreeIdentity {
  const { unpack, modes, select } = options
  const layers = select === undefined ? 'all' : layout(manifest, options).layers
  return { manifest: manifestDigest, layers, unpack, modes }
}

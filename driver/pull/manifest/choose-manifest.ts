import { CodedError } from '../../../common/errors.ts'
import { limitHint } from '../../../common/limit-hint.ts'
import type { Platform } from '../../../common/oci/descriptor.ts'
import type { Digest } from '../../../common/oci/digest.ts'
import type { ImageIndex, ImageManifest } from '../../../common/oci/manifest.ts'
import { choosePlatform } from '../../../common/oci/platform.ts'
import { formatReference, type Reference } from '../../../common/oci/reference.ts'
import { namingReference } from '../about-reference.ts'

/** A manifest, and how it was come by. */
export interface ChosenManifest {
  readonly manifest: ImageManifest
  /** Of the manifest itself: of an index's child, or the same that was given. */
  readonly manifestDigest: Digest
  /** What the index says that it is for. */
  readonly platform?: Platform
}

/**
 * Goes from what a reference names to the manifest for a platform: through indexes, should there be any.
 *
 * @param load gives a child; what it throws is thrown
 * @returns undefined when `load` does not have a child
 * @throws INVALID listing the platforms there are when none fits; EXHAUSTED when indexes are nested too deep
 */
export async function chooseManifest(options: {
  readonly reference: Reference
  readonly digest: Digest
  readonly parsed: ImageManifest | ImageIndex
  readonly platform: Platform
  readonly maxIndexDepth: number
  readonly load: (digest: Digest) => Promise<ImageManifest | ImageIndex | undefined>
}): Promise<ChosenManifest | undefined> {
  const { reference, platform, maxIndexDepth } = options
  let manifest = options.parsed
  let manifestDigest = options.digest
  let chosen: Platform | undefined
  for (let depth = 0; manifest.kind === 'index'; depth += 1) {
    if (depth === maxIndexDepth) {
      throw new CodedError(
        'EXHAUSTED',
        `Cannot use "${formatReference(reference)}": indexes are nested deeper than ${maxIndexDepth}${limitHint('max-index-depth')}`,
      )
    }
    const index: ImageIndex = manifest
    const child = await namingReference(reference, () => choosePlatform(index, platform))
    const next = await options.load(child.digest)
    if (next === undefined) return undefined
    manifest = next
    manifestDigest = child.digest
    chosen = child.platform
  }
  return { manifest, manifestDigest, ...(chosen && { platform: chosen }) }
}

import { posix } from 'node:path'
import type { Source } from '../common/composition/composition.ts'
import type { ArtifactSource, CallOptions } from '../common/oci/artifact-source.ts'
import type { Descriptor } from '../common/oci/descriptor.ts'
import type { Digest } from '../common/oci/digest.ts'
import { type ImageIndex, type ImageManifest, parseManifest } from '../common/oci/manifest.ts'
import { formatPlatform, nodePlatform } from '../common/oci/platform.ts'
import { formatReference } from '../common/oci/reference.ts'
import { namingReference } from '../driver/pull/about-reference.ts'
import { layout, layoutOptionsOf, needsView, type PlanStep } from '../driver/pull/layout/layout.ts'
import { type Flavour, titleOf } from '../driver/pull/layout/layout-step.ts'
import { chooseManifest } from '../driver/pull/manifest/choose-manifest.ts'
import { DEFAULT_PULL_LIMITS } from '../driver/pull/pull-limits.ts'

/** What a pull would do, as `inspect --json` writes it. */
export interface Inspection {
  readonly reference: string
  /** What the reference names: of an index, if it names one. */
  readonly digest: Digest
  /** Of an index: each child's platform, in its order; `unknown/unknown` are attestations. */
  readonly platforms?: readonly string[]
  /** Of the child that was chosen, as the index says. */
  readonly platform?: string
  readonly manifest: Digest
  readonly artifactType?: string
  /** `image`: the layers are one root file system. */
  readonly flavour: Flavour
  readonly placed: readonly PlacedLayer[]
  readonly skipped: readonly SkippedLayer[]
  /** Whether the volume shows something else than all that is placed, in its root. */
  readonly view: boolean
  /** What a node that has nothing of it downloads. */
  readonly download: { readonly blobs: number; readonly bytes: number }
}

interface LayerFacts {
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
}

/** A layer that contributes to the volume. */
export interface PlacedLayer extends LayerFacts {
  /** The blob is a file, or an archive that is unpacked. */
  readonly kind: 'file' | 'archive'
  /** In the volume; of an archive the directory, the volume's root being `.`. */
  readonly path: string
  /** Of an archive: whether all of it is shown, or what the file globs take. */
  readonly whole: boolean
}

/** A layer that contributes nothing, and is not downloaded. */
export interface SkippedLayer extends LayerFacts {
  readonly title?: string
  readonly reason: string
}

/**
 * Finds out what a pull would do, from manifests alone: no blob is downloaded.
 *
 * @throws as {@link ArtifactSource}; INVALID as `layout`
 */
export async function inspectArtifact(
  source: Source,
  registries: ArtifactSource,
  call: CallOptions,
): Promise<Inspection> {
  const { reference, platform = nodePlatform() } = source
  const fetched = await registries.manifest(reference, call)
  const { digest } = fetched.descriptor
  const parse = (bytes: Uint8Array) => namingReference(reference, () => parseManifest(bytes))
  const { registry, repository } = reference
  const load = async (child: Digest) =>
    parse((await registries.manifest({ registry, repository, digest: child }, call)).bytes)
  const parsed = await parse(fetched.bytes)
  const maxIndexDepth = DEFAULT_PULL_LIMITS.indexDepth
  const chosen = await chooseManifest({ reference, digest, parsed, platform, maxIndexDepth, load })
  if (chosen === undefined) throw new Error('a manifest that was loaded is missing')
  const { manifest, manifestDigest } = chosen
  const plan = await namingReference(reference, () => layout(manifest, layoutOptionsOf(source)))
  return {
    reference: formatReference(reference),
    digest,
    ...platformsOf(parsed),
    ...(chosen.platform && { platform: formatPlatform(chosen.platform) }),
    manifest: manifestDigest,
    ...(manifest.artifactType !== undefined && { artifactType: manifest.artifactType }),
    flavour: plan.flavour,
    placed: plan.steps.map((step) => placedLayer(step, source.path ?? '.')),
    skipped: plan.skipped.map(({ descriptor, reason }) => {
      const title = titleOf(descriptor)
      return { ...factsOf(descriptor), ...(title !== undefined && { title }), reason }
    }),
    view: needsView(plan, source),
    download: { blobs: plan.blobs.length, bytes: plan.bytes },
  }
}

function platformsOf(parsed: ImageManifest | ImageIndex): Pick<Inspection, 'platforms'> {
  if (parsed.kind === 'manifest') return {}
  return {
    platforms: parsed.manifests.map(({ platform }) =>
      platform === undefined ? 'none' : formatPlatform(platform),
    ),
  }
}

function placedLayer({ kind, blob, path, whole }: PlanStep, directory: string): PlacedLayer {
  return {
    kind: kind === 'link' ? 'file' : 'archive',
    path: posix.join(directory, path),
    ...factsOf(blob),
    whole,
  }
}

function factsOf({ mediaType, digest, size }: Descriptor): LayerFacts {
  return { mediaType, digest, size }
}

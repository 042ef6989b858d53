import { CodedError } from '../../common/errors.ts'
import type { Descriptor } from '../../common/oci/descriptor.ts'
import { type Digest, isDigest } from '../../common/oci/digest.ts'
import type { ImageManifest } from '../../common/oci/manifest.ts'
import { OCI_EMPTY } from '../../common/oci/media-types.ts'
import { extensionOf, isImageConfigType, isTarType } from './layout-media-types.ts'
import { parentPath, readTreePath } from './tree-path.ts'

/** Whether archives are unpacked: where the artifact means it, wherever one is found, or nowhere. */
export type Unpack = 'auto' | 'always' | 'never'

/** What becomes of the permission bits of unpacked files. */
export type Modes = 'readable' | 'keep'

/** How archives are read: `image` knows whiteouts and follows symbolic links, clamped to the root. */
export type Flavour = 'artifact' | 'image'

/** What a volume asks for, besides the artifact itself. */
export interface LayoutOptions {
  readonly unpack: Unpack
  readonly modes: Modes
}

/** One layer's place in the tree. Steps are done in order: a later one's file replaces an earlier one's. */
export type PlanStep =
  /** The blob itself is the file at `path`. */
  | { readonly kind: 'link'; readonly blob: Descriptor; readonly path: string }
  | {
      readonly kind: 'unpack'
      readonly blob: Descriptor
      /** The directory that holds everything the archive contributes; `""` is the root. */
      readonly path: string
      /** Where the archive's own names start: at the root, and then they must lie in `path`; or at `path`. */
      readonly namesFrom: 'root' | 'path'
      /** Of the decompressed bytes. */
      readonly contentDigest?: Digest
    }

/** What goes where in a tree, decided before a byte of content is downloaded. */
export interface Plan {
  readonly flavour: Flavour
  readonly modes: Modes
  /** At least one. */
  readonly steps: readonly PlanStep[]
  readonly skipped: readonly { readonly descriptor: Descriptor; readonly reason: string }[]
  /** What the steps need, each digest once, in order of first use. */
  readonly blobs: readonly Descriptor[]
  /** The sum of the sizes of {@link blobs}. */
  readonly bytes: number
}

const TITLE = 'org.opencontainers.image.title'
/** @see https://github.com/modelpack/model-spec/blob/main/docs/annotations.md */
const MODEL_FILEPATH = 'org.cncf.model.filepath'
// Written by `oras push DIRECTORY`.
const UNPACK = 'io.deis.oras.content.unpack'
const CONTENT_DIGEST = 'io.deis.oras.content.digest'

/** How many layers a message lists. */
const MAX_LISTED = 20

/**
 * Decides what becomes of each layer of a manifest, by the table of the design's page on volumes.
 *
 * `unpack: never` goes before everything else: then an image is its layers as files, and a directory pushed by `oras push` its archive.
 *
 * @throws INVALID for a title that is no path inside a tree, for two layers at one place, and when nothing would be mounted
 */
export function layout(manifest: ImageManifest, options: LayoutOptions): Plan {
  const flavour = flavourOf(manifest, options)
  const steps: PlanStep[] = []
  const skipped: { descriptor: Descriptor; reason: string }[] = []
  for (const layer of manifest.layers) {
    const step =
      flavour === 'image' ? unpackStep(layer, '', 'root') : artifactStep(layer, options.unpack)
    if (step === undefined) skipped.push({ descriptor: layer, reason: 'empty layer' })
    else steps.push(step)
  }
  if (steps.length === 0) throw nothingToMount(manifest)
  const blobs = distinctBlobs(steps)
  return {
    flavour,
    modes: options.modes,
    steps: withoutConflicts(steps),
    skipped,
    blobs,
    bytes: blobs.reduce((sum, blob) => sum + blob.size, 0),
  }
}

function flavourOf({ config, layers }: ImageManifest, { unpack }: LayoutOptions): Flavour {
  const isImage =
    unpack !== 'never' &&
    config !== undefined &&
    isImageConfigType(config.mediaType) &&
    layers.every((layer) => isTarType(layer.mediaType) && titleOf(layer) === undefined)
  return isImage ? 'image' : 'artifact'
}

/** Undefined for a layer without content. */
function artifactStep(layer: Descriptor, unpack: Unpack): PlanStep | undefined {
  const title = titleOf(layer)
  const isTar = isTarType(layer.mediaType)
  if (title !== undefined) {
    const path = pathOfTitle(title)
    if (layer.annotations[UNPACK] === 'true' && unpack !== 'never') {
      return unpackStep(layer, path, 'root')
    }
    if (path === '') throw badTitle(title, "is the volume's root; expected a file's name")
    if (isTar && unpack === 'always') return unpackStep(layer, path, 'path')
    return { kind: 'link', blob: layer, path }
  }
  if (isTar && unpack !== 'never') return unpackStep(layer, '', 'root')
  if (layer.mediaType === OCI_EMPTY) return undefined
  // `:` is awkward in file names (PATH, make, rsync): `sha256:ab…` becomes `sha256-ab…`.
  const name = layer.digest.replace(':', '-') + extensionOf(layer.mediaType)
  return { kind: 'link', blob: layer, path: name }
}

function unpackStep(blob: Descriptor, path: string, namesFrom: 'root' | 'path'): PlanStep {
  const contentDigest = blob.annotations[CONTENT_DIGEST]
  if (contentDigest === undefined || contentDigest === '') {
    return { kind: 'unpack', blob, path, namesFrom }
  }
  if (isDigest(contentDigest)) return { kind: 'unpack', blob, path, namesFrom, contentDigest }
  throw new CodedError(
    'INVALID',
    `Invalid annotation "${CONTENT_DIGEST}" of layer ${blob.digest}: ${quote(contentDigest)} is not a digest; expected "sha256:" and 64 lowercase hex characters`,
  )
}

/** An empty title is none, as in `oras pull`. */
function titleOf({ annotations }: Descriptor): string | undefined {
  return annotations[TITLE] || annotations[MODEL_FILEPATH] || undefined
}

function pathOfTitle(title: string): string {
  const path = readTreePath(title)
  if (typeof path !== 'string') throw badTitle(title, path.detail)
  return path
}

function badTitle(title: string, detail: string): CodedError {
  return new CodedError(
    'INVALID',
    `Invalid title ${quote(title)}: it ${detail}; push the artifact again with another name`,
  )
}

/**
 * Drops what an earlier step makes of the same blob at the same place, as `oras pull` does; refuses two different things at one place, and a file
 * where another layer needs a directory.
 */
function withoutConflicts(steps: readonly PlanStep[]): readonly PlanStep[] {
  const placed = new Map<string, PlanStep>()
  const kept = steps.filter((step) => {
    // Archives may share a directory; what they hold is not known yet.
    if (step.path === '') return true
    const other = placed.get(step.path)
    if (other !== undefined) {
      if (other.blob.digest === step.blob.digest && other.kind === step.kind) return false
      throw new CodedError(
        'INVALID',
        `Two layers have the title ${quote(step.path)}: ${other.blob.digest} and ${step.blob.digest}; expected different titles`,
      )
    }
    placed.set(step.path, step)
    return true
  })
  for (const path of placed.keys()) {
    for (let above = parentPath(path); above !== ''; above = parentPath(above)) {
      if (placed.get(above)?.kind === 'link') {
        throw new CodedError(
          'INVALID',
          `Layer titles conflict: ${quote(above)} is a file, and ${quote(path)} needs it to be a directory`,
        )
      }
    }
  }
  return kept
}

function distinctBlobs(steps: readonly PlanStep[]): readonly Descriptor[] {
  const blobs = new Map<Digest, Descriptor>()
  for (const { blob } of steps) {
    const known = blobs.get(blob.digest)
    if (known === undefined) blobs.set(blob.digest, blob)
    else if (known.size !== blob.size) {
      throw new CodedError(
        'INVALID',
        `Layer ${blob.digest} is listed with two sizes: ${known.size} and ${blob.size} bytes`,
      )
    }
  }
  return [...blobs.values()]
}

function nothingToMount({ layers, config }: ImageManifest): CodedError {
  const listed = layers.slice(0, MAX_LISTED).map(describe).join(', ')
  const more = layers.length > MAX_LISTED ? `, and ${layers.length - MAX_LISTED} more` : ''
  const found =
    layers.length === 0
      ? `the manifest has no layers, only the config ${config === undefined ? '(none)' : describe(config)}`
      : `the manifest has only ${listed}${more}`
  return new CodedError(
    'INVALID',
    `Nothing to mount: ${found}; expected at least one layer with content`,
  )
}

function describe({ mediaType, digest, size }: Descriptor): string {
  return `${quote(mediaType)} (${digest}, ${size} bytes)`
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 200))
}

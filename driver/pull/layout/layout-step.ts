import type { Modes, Unpack } from '../../../common/composition/composition.ts'
import { CodedError } from '../../../common/errors.ts'
import type { Descriptor } from '../../../common/oci/descriptor.ts'
import { type Digest, isDigest } from '../../../common/oci/digest.ts'
import { OCI_EMPTY } from '../../../common/oci/media-types.ts'
import { readTreePath } from '../tree/tree-path.ts'
import { extensionOf, isModelTarType, isTarType } from './layout-media-types.ts'

/** How archives are read: `image` knows whiteouts and follows symbolic links, clamped to the root. */
export type Flavour = 'artifact' | 'image'

/** One layer's place in the tree. */
export type LayerStep =
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

/** How layers are placed. */
export interface StepOptions {
  readonly unpack: Unpack
  readonly modes: Modes
}

const TITLE = 'org.opencontainers.image.title'
/** The second is of ModelPack before it went to the CNCF. @see https://github.com/modelpack/model-spec/blob/main/docs/annotations.md */
const MODEL_FILEPATHS = ['org.cncf.model.filepath', 'org.cnai.model.filepath']
// Written by `oras push DIRECTORY`.
const UNPACK = 'io.deis.oras.content.unpack'
const CONTENT_DIGEST = 'io.deis.oras.content.digest'

/** The path that a layer says it has, as written; an empty one is none, as in `oras pull`. */
export function titleOf({ annotations }: Descriptor): string | undefined {
  return annotations[TITLE] || filepathOf(annotations)
}

/** Answers whether a layer stands for nothing: the empty blob that a manifest without content names. */
export function isEmptyLayer(layer: Descriptor): boolean {
  return layer.mediaType === OCI_EMPTY && titleOf(layer) === undefined
}

/**
 * Decides where a layer that has content goes.
 *
 * @throws INVALID for a title that is no path inside a tree, and a content digest that is none
 */
export function stepOf(layer: Descriptor, flavour: Flavour, unpack: Unpack): LayerStep {
  if (flavour === 'image') return unpackStep(layer, '', 'root')
  const title = titleOf(layer)
  const isTar = isTarType(layer.mediaType)
  if (title !== undefined && !isModelArchive(layer, unpack)) {
    const path = pathOfTitle(title)
    if (layer.annotations[UNPACK] === 'true' && unpack !== 'never') {
      return unpackStep(layer, path, 'root')
    }
    if (path === '') throw badTitle(title, "is the volume's root; expected a file's name")
    if (isTar && unpack === 'always') return unpackStep(layer, path, 'path')
    return { kind: 'link', blob: layer, path }
  }
  if (isTar && unpack !== 'never') return unpackStep(layer, '', 'root')
  // `:` is awkward in file names (PATH, make, rsync): `sha256:ab…` becomes `sha256-ab…`.
  const name = layer.digest.replace(':', '-') + extensionOf(layer.mediaType)
  return { kind: 'link', blob: layer, path: name }
}

/**
 * The path that an archive says all of its content has, where that is not the directory it is unpacked in: modctl packs a model's files
 * under their own paths, and names the path again in an annotation.
 */
export function declaredPath(step: LayerStep): string | undefined {
  const title = titleOf(step.blob)
  return step.kind === 'unpack' && title !== undefined ? pathOfTitle(title) : undefined
}

/** An archive whose names start at the root although it has a path, which may be that of a file. */
function isModelArchive({ annotations, mediaType }: Descriptor, unpack: Unpack): boolean {
  return unpack !== 'never' && !annotations[TITLE] && isModelTarType(mediaType)
}

function filepathOf(annotations: Descriptor['annotations']): string | undefined {
  const key = MODEL_FILEPATHS.find((name) => annotations[name])
  return key === undefined ? undefined : annotations[key]
}

function unpackStep(blob: Descriptor, path: string, namesFrom: 'root' | 'path'): LayerStep {
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

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 200))
}

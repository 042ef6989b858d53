import { CodedError } from '../errors.ts'
import {
  asArray,
  asObject,
  asSize,
  asString,
  asStringRecord,
  type JsonNode,
  type JsonObject,
  jsonFault,
  optionalField,
  parseJson,
  refuseCaseVariants,
  requiredField,
} from '../json.ts'
import { limitHint } from '../limit-hint.ts'
import type { Descriptor, Platform } from './descriptor.ts'
import { digestAlgorithm, digestOf, isDigest } from './digest.ts'
import {
  isMediaType,
  manifestKind,
  OCI_ARTIFACT_MANIFEST,
  OCI_INDEX,
  OCI_MANIFEST,
} from './media-types.ts'

/** An artifact or image: its config and its layers, in order. */
export interface ImageManifest {
  readonly kind: 'manifest'
  readonly mediaType: string
  readonly artifactType?: string
  /** Absent in the withdrawn artifact manifest, whose `blobs` are the layers. */
  readonly config?: Descriptor
  readonly layers: readonly Descriptor[]
  readonly annotations: Readonly<Record<string, string>>
}

/** Manifests to choose from, by platform. */
export interface ImageIndex {
  readonly kind: 'index'
  readonly mediaType: string
  readonly manifests: readonly Descriptor[]
  readonly annotations: Readonly<Record<string, string>>
}

/** What a manifest or index may come to. */
export interface ManifestLimits {
  /** Of the document as it is written. */
  readonly bytes: number
  /** Layers of a manifest, manifests of an index. */
  readonly children: number
}

/** What holds unless the admin says otherwise. */
export const DEFAULT_MANIFEST_LIMITS: ManifestLimits = {
  // distribution-spec 1.1 "Pushing Manifests": registries should take at least 4 MiB; common ones take no more.
  bytes: 4 * 1024 * 1024,
  // Far above what is built (images have at most 127 layers), and bounded work for a hostile one.
  children: 1000,
}

/** The flag that sets a limit, for messages; without its dashes. */
export const MANIFEST_LIMIT_FLAGS = {
  bytes: 'max-manifest-bytes',
  children: 'max-layers',
} as const satisfies Record<keyof ManifestLimits, string>

const DOCUMENT_FIELDS = [
  'schemaVersion',
  'mediaType',
  'artifactType',
  'config',
  'layers',
  'manifests',
  'blobs',
  'subject',
  'annotations',
]
const DESCRIPTOR_FIELDS = [
  'mediaType',
  'digest',
  'size',
  'urls',
  'annotations',
  'data',
  'artifactType',
  'platform',
]
const PLATFORM_FIELDS = ['architecture', 'os', 'os.version', 'os.features', 'variant']

/**
 * Reads a manifest or index: OCI, Docker schema 2, and the withdrawn OCI artifact manifest.
 *
 * A descriptor's `urls` are not kept: content comes from where the manifest came from (CVE-2020-15157).
 *
 * @throws CORRUPT when the document is malformed, saying what and where
 * @throws INVALID when it is a document of another kind, e.g. Docker schema 1
 * @throws EXHAUSTED when it is larger than its limits
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md
 */
export function parseManifest(
  bytes: Uint8Array,
  limits: ManifestLimits = DEFAULT_MANIFEST_LIMITS,
): ImageManifest | ImageIndex {
  if (bytes.length > limits.bytes) throw manifestTooLarge(limits)
  const document = asObject(
    // SSRF: whoever names a host in a reference reads the message.
    parseJson(bytes, { name: 'manifest', code: 'CORRUPT', maxBytes: limits.bytes, secret: true }),
  )
  refuseCaseVariants(document, DOCUMENT_FIELDS)
  refuseTwoMeanings(document)
  const mediaType = documentMediaType(document)
  const annotations = annotationsOf(document)
  if (manifestKind(mediaType) === 'index') {
    const manifests = descriptors(requiredField(document, 'manifests'), limits)
    return { kind: 'index', mediaType, manifests, annotations }
  }
  const artifactType = optionalField(document, 'artifactType')
  const config = optionalField(document, 'config')
  return {
    kind: 'manifest',
    mediaType,
    ...(artifactType && { artifactType: asString(artifactType) }),
    ...(config && { config: parseDescriptor(config) }),
    layers: layersOf(document, mediaType, limits),
    annotations,
  }
}

/** Says, before or after it is read whole, that a manifest is larger than its limit. */
export function manifestTooLarge({ bytes }: ManifestLimits): CodedError {
  return new CodedError(
    'EXHAUSTED',
    `manifest is larger than ${bytes} bytes${limitHint(MANIFEST_LIMIT_FLAGS.bytes)}`,
  )
}

/**
 * Reads the descriptor at a place of a document.
 *
 * @throws the document's code, saying what is wrong where
 */
export function parseDescriptor(node: JsonNode): Descriptor {
  const object = asObject(node)
  refuseCaseVariants(object, DESCRIPTOR_FIELDS)
  const digestNode = requiredField(object, 'digest')
  const digest = asString(digestNode)
  if (!isDigest(digest)) {
    throw jsonFault(
      digestNode,
      'expected "sha256:" and 64, or "sha512:" and 128, lowercase hex characters',
    )
  }
  const artifactType = optionalField(object, 'artifactType')
  const platformNode = optionalField(object, 'platform')
  const platform = platformNode && parsePlatformObject(platformNode)
  const descriptor: Descriptor = {
    mediaType: parseMediaType(requiredField(object, 'mediaType')),
    digest,
    size: asSize(requiredField(object, 'size')),
    annotations: annotationsOf(object),
    ...(artifactType && { artifactType: asString(artifactType) }),
    ...(platform && { platform }),
  }
  checkData(object, descriptor)
  return descriptor
}

// CVE-2021-41190: an index to one reader, an image to another.
function refuseTwoMeanings(document: JsonObject): void {
  const present = ['manifests', 'layers', 'blobs'].filter((key) => document.fields.has(key))
  if (present.length > 1) {
    throw jsonFault(document, `has both "${present[0]}" and "${present[1]}"; expected one of them`)
  }
  if (document.fields.has('manifests') && document.fields.has('config')) {
    throw jsonFault(document, 'has both "manifests" and "config"; expected one of them')
  }
}

function documentMediaType(document: JsonObject): string {
  const version = optionalField(document, 'schemaVersion')
  const field = optionalField(document, 'mediaType')
  const stated = field && parseMediaType(field)
  if (version?.value === 1) {
    throw unsupported('Docker schema 1; push the image again with a current tool')
  }
  if (stated !== undefined && manifestKind(stated) === undefined) {
    throw unsupported(`media type "${stated}"; expected an OCI or Docker manifest or index`)
  }
  if (version !== undefined && version.value !== 2) {
    throw unsupported('another schemaVersion; expected 2')
  }
  if (stated !== undefined) {
    refuseWrongShape(document, stated)
    return stated
  }
  // The OCI documents may leave their media type out; their shape tells.
  if (document.fields.has('manifests')) return OCI_INDEX
  if (document.fields.has('layers')) return OCI_MANIFEST
  throw unsupported('neither "layers" nor "manifests"; expected a manifest or an index')
}

function refuseWrongShape(document: JsonObject, mediaType: string): void {
  const foreign = manifestKind(mediaType) === 'index' ? ['layers', 'blobs'] : ['manifests']
  const found = foreign.find((key) => document.fields.has(key))
  if (found !== undefined) throw jsonFault(document, `has "${found}", but is a "${mediaType}"`)
}

function unsupported(what: string): CodedError {
  return new CodedError('INVALID', `Unsupported manifest: ${what}`)
}

function layersOf(
  document: JsonObject,
  mediaType: string,
  limits: ManifestLimits,
): readonly Descriptor[] {
  if (mediaType !== OCI_ARTIFACT_MANIFEST) {
    return descriptors(requiredField(document, 'layers'), limits)
  }
  const blobs = optionalField(document, 'blobs')
  return blobs === undefined ? [] : descriptors(blobs, limits)
}

function descriptors(node: JsonNode, { children }: ManifestLimits): readonly Descriptor[] {
  if (Array.isArray(node.value) && node.value.length > children) {
    throw new CodedError(
      'EXHAUSTED',
      `${node.path}: ${node.value.length} items, of ${children} that are read${limitHint(MANIFEST_LIMIT_FLAGS.children)}`,
    )
  }
  return asArray(node, children).map(parseDescriptor)
}

function annotationsOf(object: JsonObject): Readonly<Record<string, string>> {
  const node = optionalField(object, 'annotations')
  return node === undefined ? Object.create(null) : asStringRecord(node)
}

function parseMediaType(node: JsonNode): string {
  const text = asString(node)
  if (!isMediaType(text)) {
    throw jsonFault(node, 'expected a media type, e.g. "text/plain"')
  }
  return text
}

function parsePlatformObject(node: JsonNode): Platform | undefined {
  const object = asObject(node)
  refuseCaseVariants(object, PLATFORM_FIELDS)
  const variant = optionalField(object, 'variant')
  const variantText = variant === undefined ? '' : asString(variant)
  const os = asString(requiredField(object, 'os'))
  const architecture = asString(requiredField(object, 'architecture'))
  // Go writes an unset platform as empty strings.
  if (os === '' && architecture === '') return undefined
  return {
    os,
    architecture,
    ...(variantText !== '' && { variant: variantText }),
  }
}

// Nobody here reads embedded data, but a reader who does must not see other bytes than the blob's.
function checkData(object: JsonObject, descriptor: Descriptor): void {
  const node = optionalField(object, 'data')
  if (node === undefined) return
  const text = asString(node)
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) throw jsonFault(node, 'expected base64')
  if (bytes.length !== descriptor.size) {
    throw jsonFault(node, `holds ${bytes.length} bytes, but size is ${descriptor.size}`)
  }
  if (digestOf(bytes, digestAlgorithm(descriptor.digest)) !== descriptor.digest) {
    throw jsonFault(node, 'does not match the digest')
  }
}

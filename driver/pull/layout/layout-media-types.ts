import { DOCKER_IMAGE_CONFIG, OCI_IMAGE_CONFIG } from '../../../common/oci/media-types.ts'

// `.tar` as the last part of a vendor's type (image layers, Helm charts, CNCF models), with or without a compression; the types
// that Docker and older tools write; and the registered-in-practice `application/x-tar` family.
const TAR =
  /(?:\.tar(?:[.+](?:gzip|gz|zstd))?|^application\/(?:x-)?(?:tar|gtar)(?:\+(?:gzip|zstd))?|^application\/x-(?:tgz|gtar-compressed|compressed-tar))$/

/** Answers whether a layer's media type says that it is a tar archive, compressed or not. */
export function isTarType(mediaType: string): boolean {
  return TAR.test(mediaType.toLowerCase())
}

/**
 * Answers whether a layer's media type is that of files of a model, archived by their paths in the model.
 *
 * @see https://github.com/modelpack/model-spec/blob/main/docs/spec.md
 */
export function isModelTarType(mediaType: string): boolean {
  const type = mediaType.toLowerCase()
  return /^application\/vnd\.(?:cncf|cnai)\.model\./.test(type) && isTarType(type)
}

/** Answers whether a config's media type is that of a container image. */
export function isImageConfigType(mediaType: string): boolean {
  return mediaType === OCI_IMAGE_CONFIG || mediaType === DOCKER_IMAGE_CONFIG
}

const EXTENSIONS: Readonly<Record<string, string>> = {
  'application/gzip': '.gz',
  'application/java-archive': '.jar',
  'application/javascript': '.js',
  'application/json': '.json',
  'application/pdf': '.pdf',
  'application/toml': '.toml',
  'application/vnd.cncf.helm.chart.provenance.v1.prov': '.prov',
  'application/vnd.docker.ai.gguf.v3': '.gguf',
  'application/wasm': '.wasm',
  'application/x-pem-file': '.pem',
  'application/x-yaml': '.yaml',
  'application/xml': '.xml',
  'application/yaml': '.yaml',
  'application/zip': '.zip',
  'application/zstd': '.zst',
  'image/jpeg': '.jpg',
  'image/png': '.png',
  'text/css': '.css',
  'text/csv': '.csv',
  'text/html': '.html',
  'text/javascript': '.js',
  'text/markdown': '.md',
  'text/plain': '.txt',
  'text/xml': '.xml',
  'text/yaml': '.yaml',
}

// Structured syntax suffixes (RFC 6838 section 4.2.8), and those that artifact types use like them.
const SUFFIXES: Readonly<Record<string, string>> = {
  gzip: '.gz',
  json: '.json',
  wasm: '.wasm',
  xml: '.xml',
  yaml: '.yaml',
  zip: '.zip',
  zstd: '.zst',
}

/** The file name extension for a media type, with its dot; empty when none is known. `…v1.tar+gzip` gives `.tar.gz`. */
export function extensionOf(mediaType: string): string {
  const type = mediaType.toLowerCase()
  if (isTarType(type)) {
    if (/(?:gzip|gz|tgz|compressed-tar|gtar-compressed)$/.test(type)) return '.tar.gz'
    return type.endsWith('zstd') ? '.tar.zst' : '.tar'
  }
  if (Object.hasOwn(EXTENSIONS, type)) return EXTENSIONS[type] ?? ''
  const suffix = /\+([a-z]+)$/.exec(type)?.[1] ?? ''
  return Object.hasOwn(SUFFIXES, suffix) ? (SUFFIXES[suffix] ?? '') : ''
}

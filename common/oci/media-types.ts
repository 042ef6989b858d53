/** @see https://github.com/opencontainers/image-spec/blob/v1.1.0/media-types.md */
export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json'
/** Of image-spec 1.1.0-rc2, withdrawn since; ORAS 0.16 and 1.0 pushed it. */
export const OCI_ARTIFACT_MANIFEST = 'application/vnd.oci.artifact.manifest.v1+json'
export const OCI_EMPTY = 'application/vnd.oci.empty.v1+json'
export const OCI_IMAGE_CONFIG = 'application/vnd.oci.image.config.v1+json'

/** @see https://distribution.github.io/distribution/spec/manifest-v2-2/ */
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
export const DOCKER_MANIFEST_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json'
export const DOCKER_IMAGE_CONFIG = 'application/vnd.docker.container.image.v1+json'

/** The kinds of documents that `parseManifest` reads, as an `Accept` header. */
export const ACCEPT_MANIFEST = [
  OCI_MANIFEST,
  OCI_INDEX,
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  OCI_ARTIFACT_MANIFEST,
].join(', ')

/** Which of the two shapes a manifest media type stands for; undefined for one that is not read. */
export function manifestKind(mediaType: string): 'manifest' | 'index' | undefined {
  switch (mediaType) {
    case OCI_MANIFEST:
    case OCI_ARTIFACT_MANIFEST:
    case DOCKER_MANIFEST:
      return 'manifest'
    case OCI_INDEX:
    case DOCKER_MANIFEST_LIST:
      return 'index'
    default:
      return undefined
  }
}

// RFC 6838 section 4.2, without parameters.
const MEDIA_TYPE =
  /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/

/** Answers whether `text` is a media type `type/subtype` without parameters. */
export function isMediaType(text: string): boolean {
  return MEDIA_TYPE.test(text)
}

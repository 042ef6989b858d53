import { type Digest, digestAlgorithm, digestHex, parseDigest } from './digest.ts'
import { formatReference, parseReference, type Reference } from './reference.ts'

/** Where the list of a repository's manifests is, below the root of all layouts: e.g. `acme/app/index.json`. */
export function layoutIndexPath(reference: Reference): string {
  return `${directoryOf(reference)}/index.json`
}

/** Where a blob or manifest is, below the root of all layouts: e.g. `acme/app/blobs/sha256/ab…`. */
export function layoutBlobPath(reference: Reference, digest: Digest): string {
  const checked = parseDigest(digest)
  return `${directoryOf(reference)}/blobs/${digestAlgorithm(checked)}/${digestHex(checked)}`
}

/** The grammar of repositories has no `..`; it is checked where the path is made. */
function directoryOf(reference: Reference): string {
  return parseReference(formatReference(reference)).repository
}

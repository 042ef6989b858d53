import { join } from 'node:path'
import { CodedError, isSystemError } from '../errors.ts'
import { asArray, asObject, parseJson, requiredField } from '../json.ts'
import type { ArtifactSource, FetchedManifest } from './artifact-source.ts'
import type { Descriptor } from './descriptor.ts'
import { type Digest, digestAlgorithm, digestHex, digestOf, parseDigest } from './digest.ts'
import { type FileReader, pooledFileReader, type ReadableFile } from './file-reader.ts'
import { DEFAULT_MANIFEST_LIMITS, parseDescriptor, parseManifest } from './manifest.ts'
import { formatReference, parseReference, type Reference } from './reference.ts'
import { subjectOf } from './subject.ts'
import { verified } from './verify.ts'

const REF_NAME = 'org.opencontainers.image.ref.name'
/** A layout may hold every version of an artifact there ever was. */
const MAX_TAGS = 100_000
const MAX_INDEX_BYTES = 64 * 1024 * 1024
const CHUNK_BYTES = 256 * 1024

/** Layouts as a source, and their blobs for those who verify by themselves. */
export interface LayoutSource extends ArtifactSource {
  /**
   * Opens a blob's file from `offset` to its end: the bytes as they are on disk, neither counted nor hashed.
   *
   * @throws as `blob`, except CORRUPT
   */
  openBlob(
    reference: Reference,
    digest: Digest,
    options: { readonly signal: AbortSignal; readonly offset: number },
  ): AsyncIterable<Uint8Array>
}

/**
 * Reads artifacts from OCI image layouts: the repository is a sub-directory of `root`, a tag is an entry of its `index.json`
 * annotated `org.opencontainers.image.ref.name`. A manifest need not be listed to be had by its digest, as in a registry.
 *
 * `index.json` is read on each call: layouts change under their readers. Credentials mean nothing to a directory; who may
 * use it is decided by whoever configures it, so that every body counts as anonymous.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
 */
export function createLayoutSource({
  root,
  files = pooledFileReader,
}: {
  readonly root: string
  /** Default: the thread pool of this process. */
  readonly files?: FileReader
}): LayoutSource {
  async function find(reference: Reference): Promise<{ digest: Digest; described?: Descriptor }> {
    const { digest, tag } = reference
    const directory = directoryOf(root, reference)
    const entries = await readIndex(files, directory, reference)
    if (digest !== undefined) {
      const described = entries.find((entry) => entry.digest === digest)
      return { digest, ...(described && { described }) }
    }
    if (tag === undefined) {
      throw new CodedError('INVALID', `${subjectOf(reference)}: expected a tag or a digest`)
    }
    const tagged = entries.filter((entry) => entry.annotations[REF_NAME] === tag)
    const [first] = tagged
    if (first === undefined) {
      throw new CodedError('NOT_FOUND', `${subjectOf(reference)}: layout has no manifest "${tag}"`)
    }
    if (tagged.some((entry) => entry.digest !== first.digest)) {
      throw new CodedError(
        'CORRUPT',
        `${subjectOf(reference)}: layout has several manifests "${tag}"; expected one`,
      )
    }
    return { digest: first.digest, described: first }
  }

  async function fetchManifest(
    reference: Reference,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<FetchedManifest> {
    signal.throwIfAborted()
    const { digest, described } = await find(reference)
    const bytes = await readManifest(files, blobPath(root, reference, digest), reference, digest)
    signal.throwIfAborted()
    const mediaType =
      described?.mediaType ?? prefixed(reference, () => parseManifest(bytes).mediaType)
    const descriptor = { mediaType, digest, size: bytes.length, annotations: {} }
    return { descriptor, bytes, credential: undefined }
  }

  async function* openBlob(
    reference: Reference,
    digest: Digest,
    { signal, offset }: { readonly signal: AbortSignal; readonly offset: number },
  ): AsyncGenerator<Uint8Array, void, undefined> {
    signal.throwIfAborted()
    const path = blobPath(root, reference, digest)
    await using file = await openFile(files, path, reference, `blob ${digest}`)
    for (let position = offset; ; ) {
      signal.throwIfAborted()
      const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
      const bytes = await reading(reference, () => file.read(chunk, position))
      signal.throwIfAborted()
      if (bytes === 0) return
      position += bytes
      yield chunk.subarray(0, bytes)
    }
  }

  return {
    async resolve(reference, options) {
      options.signal.throwIfAborted()
      const { described } = await find(reference)
      if (described === undefined) return (await fetchManifest(reference, options)).descriptor
      const { mediaType, digest, size } = described
      return { mediaType, digest, size, annotations: {} }
    },
    manifest: fetchManifest,
    blob: (reference, descriptor, options) =>
      verifiedLayoutBlob(openBlob, reference, descriptor, options),
    openBlob,
  }
}

/** The `blob` of a layout source, by its `openBlob`. */
export async function* verifiedLayoutBlob(
  openBlob: LayoutSource['openBlob'],
  reference: Reference,
  descriptor: Descriptor,
  { signal, offset = 0 }: { readonly signal: AbortSignal; readonly offset?: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  const { size, digest } = descriptor
  if (!Number.isSafeInteger(offset) || offset < 0 || offset > size) {
    throw new CodedError(
      'INVALID',
      `${subjectOf(reference)}: offset ${offset} is not within the ${size} bytes of the blob`,
    )
  }
  yield* verified(openBlob(reference, digest, { signal, offset }), {
    descriptor,
    offset,
    subject: subjectOf(reference),
    sender: 'layout',
  })
}

/** The annotated descriptors of a layout's index.json. */
async function readIndex(
  files: FileReader,
  directory: string,
  reference: Reference,
): Promise<readonly Pick<Descriptor, 'digest' | 'mediaType' | 'size' | 'annotations'>[]> {
  const what = `repository "${reference.repository}"`
  await using file = await openFile(files, join(directory, 'index.json'), reference, what)
  const bytes = await readCapped(file, MAX_INDEX_BYTES, reference, 'index.json')
  const limits = {
    name: 'index.json',
    code: 'CORRUPT',
    maxBytes: MAX_INDEX_BYTES,
    maxValues: 20 * MAX_TAGS,
  } as const
  return prefixed(reference, () => {
    const document = asObject(parseJson(bytes, limits))
    return asArray(requiredField(document, 'manifests'), MAX_TAGS).map(parseDescriptor)
  })
}

async function readManifest(
  files: FileReader,
  path: string,
  reference: Reference,
  digest: Digest,
): Promise<Buffer> {
  await using file = await openFile(files, path, reference, `manifest "${digest}"`)
  const bytes = await readCapped(file, DEFAULT_MANIFEST_LIMITS.bytes, reference, 'manifest')
  const found = digestOf(bytes, digestAlgorithm(digest))
  if (found === digest) return bytes
  throw new CodedError(
    'CORRUPT',
    `${subjectOf(reference)}: the manifest ${digest} hashes to ${found}`,
  )
}

/** Reads a whole file, which may have grown since it was opened. */
async function readCapped(
  file: ReadableFile,
  maxBytes: number,
  reference: Reference,
  name: string,
): Promise<Buffer> {
  // One more than it holds, so that its end is seen without another buffer.
  let bytes = Buffer.allocUnsafeSlow(Math.min(file.size, maxBytes) + 1)
  for (let length = 0; ; ) {
    const read = await reading(reference, () => file.read(bytes.subarray(length), length))
    if (read === 0) return bytes.subarray(0, length)
    length += read
    if (length > maxBytes) {
      throw new CodedError(
        'CORRUPT',
        `${subjectOf(reference)}: ${name} is larger than ${maxBytes} bytes`,
      )
    }
    if (length === bytes.length) bytes = Buffer.concat([bytes, Buffer.alloc(length)])
  }
}

/** Opens a regular file. Links are followed: some tools make layouts of them, and content is verified. */
async function openFile(
  files: FileReader,
  path: string,
  reference: Reference,
  what: string,
): Promise<ReadableFile> {
  let file: ReadableFile
  try {
    file = await files.open(path)
  } catch (error) {
    if (!isSystemError(error, 'ENOENT', 'ENOTDIR')) throw unreadable(reference, error)
    throw new CodedError('NOT_FOUND', `${subjectOf(reference)}: layout has no ${what}`, {
      cause: error,
    })
  }
  if (file.isRegular) return file
  await file[Symbol.asyncDispose]()
  throw new CodedError('CORRUPT', `${subjectOf(reference)}: ${what} is no regular file`)
}

async function reading<T>(reference: Reference, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    throw unreadable(reference, error)
  }
}

function unreadable(reference: Reference, error: unknown): CodedError {
  const reason = isSystemError(error) ? error.code : 'unknown error'
  const denied = isSystemError(error, 'EACCES', 'EPERM')
  return new CodedError(
    denied ? 'DENIED' : 'UNAVAILABLE',
    `${subjectOf(reference)}: cannot read the layout: ${reason}`,
    { cause: error },
  )
}

function prefixed<T>(reference: Reference, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    throw new CodedError(error.code, `${subjectOf(reference)}: ${error.message}`, { cause: error })
  }
}

/** The grammar of repositories has no `..`; it is checked where the path is made. */
function directoryOf(root: string, reference: Reference): string {
  return join(root, parseReference(formatReference(reference)).repository)
}

function blobPath(root: string, reference: Reference, digest: Digest): string {
  const checked = parseDigest(digest)
  const directory = directoryOf(root, reference)
  return join(directory, 'blobs', digestAlgorithm(checked), digestHex(checked))
}

import { isSystemError } from '../errors.ts'
import { limitHint } from '../limit-hint.ts'
import { type Digest, digestAlgorithm, digestOf } from './digest.ts'
import type { FileReader, ReadableFile } from './file-reader.ts'
import { parseLayoutIndex } from './layout-index.ts'
import { createLayoutLookup, type LayoutLookup, reading } from './layout-lookup.ts'
import { layoutBlobPath, layoutIndexPath } from './layout-path.ts'
import { DEFAULT_MANIFEST_LIMITS, MANIFEST_LIMIT_FLAGS } from './manifest.ts'
import type { Reference } from './reference.ts'
import { RequestFailure } from './request-failure.ts'

/** A hundred thousand tags take half of it. */
const MAX_INDEX_BYTES = 64 * 1024 * 1024
const CHUNK_BYTES = 256 * 1024

/** The layouts in a directory. */
export interface LayoutSource extends LayoutLookup {
  /**
   * Opens a blob's file from `offset` to its end: the bytes as they are on disk, neither counted nor hashed.
   *
   * @throws RequestFailure, the signal's reason
   */
  openBlob(
    reference: Reference,
    digest: Digest,
    options: { readonly signal: AbortSignal; readonly offset: number },
  ): AsyncIterable<Uint8Array>
}

/**
 * Reads artifacts from OCI image layouts: the repository is a sub-directory of `root`, a tag is an entry of its `index.json`
 * annotated `org.opencontainers.image.ref.name`. The file `oci-layout` is not looked at: it has nothing to say, and buckets lose it.
 *
 * `index.json` is read on each call: layouts change under their readers. Nothing is written, locked or renamed there: the directory
 * may be on NFS or in an object store.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
 */
export function createLayoutSource({
  root,
  files,
  maxManifestBytes = DEFAULT_MANIFEST_LIMITS.bytes,
}: {
  readonly root: string
  readonly files: FileReader
  /** Default 4 MiB. */
  readonly maxManifestBytes?: number
}): LayoutSource {
  const lookup = createLayoutLookup({
    async readIndex(reference, signal) {
      const what = `repository "${reference.repository}"`
      await using file = await openFile(files, root, layoutIndexPath(reference), what)
      const limits = { maxBytes: MAX_INDEX_BYTES, tooLarge: tooLargeIndex, signal }
      const bytes = await readCapped(file, root, limits)
      return reading(() => parseLayoutIndex(bytes, MAX_INDEX_BYTES))
    },
    async readManifest(reference, digest, signal) {
      const path = layoutBlobPath(reference, digest)
      await using file = await openFile(files, root, path, `manifest "${digest}"`)
      const tooLarge = () => tooLargeManifest(maxManifestBytes)
      const bytes = await readCapped(file, root, { maxBytes: maxManifestBytes, tooLarge, signal })
      checkManifest(bytes, digest)
      return bytes
    },
  })

  return {
    ...lookup,
    async *openBlob(reference, digest, { signal, offset }) {
      signal.throwIfAborted()
      const path = layoutBlobPath(reference, digest)
      await using file = await openFile(files, root, path, `blob ${digest}`)
      for (let position = offset; ; ) {
        signal.throwIfAborted()
        const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
        const bytes = await readingFile(root, () => file.read(chunk, position))
        signal.throwIfAborted()
        if (bytes === 0) return
        position += bytes
        yield chunk.subarray(0, bytes)
      }
    },
  }
}

/** @throws RequestFailure `CORRUPT` for bytes of another digest */
export function checkManifest(bytes: Uint8Array, digest: Digest): void {
  const found = digestOf(bytes, digestAlgorithm(digest))
  if (found !== digest) {
    throw new RequestFailure('CORRUPT', `the manifest ${digest} hashes to ${found}`)
  }
}

function tooLargeIndex(): RequestFailure {
  return new RequestFailure('CORRUPT', `index.json is larger than ${MAX_INDEX_BYTES} bytes`)
}

function tooLargeManifest(maxBytes: number): RequestFailure {
  const hint = limitHint(MANIFEST_LIMIT_FLAGS.bytes)
  return new RequestFailure('EXHAUSTED', `manifest is larger than ${maxBytes} bytes${hint}`)
}

/** Reads a whole file, which may have grown since it was opened. */
async function readCapped(
  file: ReadableFile,
  root: string,
  {
    maxBytes,
    tooLarge,
    signal,
  }: {
    readonly maxBytes: number
    readonly tooLarge: () => RequestFailure
    readonly signal: AbortSignal
  },
): Promise<Buffer> {
  // One more than it holds, so that its end is seen without another buffer.
  let bytes = Buffer.allocUnsafeSlow(Math.min(file.size, maxBytes) + 1)
  for (let length = 0; ; ) {
    const read = await readingFile(root, () => file.read(bytes.subarray(length), length))
    signal.throwIfAborted()
    if (read === 0) return bytes.subarray(0, length)
    length += read
    if (length > maxBytes) throw tooLarge()
    if (length === bytes.length) bytes = Buffer.concat([bytes, Buffer.alloc(length)])
  }
}

async function openFile(
  files: FileReader,
  root: string,
  path: string,
  what: string,
): Promise<ReadableFile> {
  let file: ReadableFile
  try {
    file = await files.open(root, path)
  } catch (error) {
    if (!isSystemError(error, 'ENOENT', 'ENOTDIR')) throw unreadable(root, error)
    throw new RequestFailure('NOT_FOUND', `layout has no ${what}`, { cause: error })
  }
  if (file.isRegular) return file
  await file[Symbol.asyncDispose]()
  throw new RequestFailure('CORRUPT', `${what} is no regular file in the layout`)
}

async function readingFile<T>(root: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    throw unreadable(root, error)
  }
}

/** What a file system says that is in trouble (ESTALE, EIO, ENOTCONN, ...) may be over a little later. */
function unreadable(root: string, error: unknown): RequestFailure {
  if (error instanceof RequestFailure) return error
  const directory = JSON.stringify(root)
  if (isSystemError(error, 'EXDEV', 'ELOOP')) {
    const message = `a symbolic link leads out of the OCI layouts in ${directory}; expected relative links that stay inside`
    return new RequestFailure('DENIED', message, { cause: error })
  }
  const reason = isSystemError(error) ? error.code : 'unknown error'
  const denied = isSystemError(error, 'EACCES', 'EPERM')
  return new RequestFailure(
    denied ? 'DENIED' : 'UNAVAILABLE',
    `cannot read the OCI layouts in ${directory}: ${reason}`,
    { transient: !denied, cause: error },
  )
}

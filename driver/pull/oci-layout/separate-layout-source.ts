import type { Descriptor } from '../../../common/oci/descriptor.ts'
import type { HostSource } from '../../../common/oci/host-source.ts'
import type { LayoutDirectoryHost } from '../../../common/oci/hosts.ts'
import { DEFAULT_MANIFEST_LIMITS } from '../../../common/oci/manifest.ts'
import type { Reference } from '../../../common/oci/reference.ts'
import { RequestFailure } from '../../../common/oci/request-failure.ts'
import { type RetryOptions, withRetry } from '../../../common/oci/retry.ts'
import { setBytes } from '../download/byte-counter.ts'
import { unpackFailure } from '../download/failure-data.ts'
import type { RunningDownload } from '../download/running-download.ts'
import { advanceWatermark } from '../watermark.ts'
import { createLayoutReaders, type LayoutReaders } from './layout-readers.ts'
import { PIECE_BYTES } from './reader-message.ts'

/** A blob that is to be copied. */
export interface LayoutDownload {
  readonly reference: Reference
  readonly descriptor: Descriptor
  readonly download: RunningDownload
  readonly signal: AbortSignal
}

/** OCI layouts in directories, as hosts that can hang without harm, and as the one who copies their big blobs. */
export interface SeparateLayoutSource extends HostSource<LayoutDirectoryHost>, AsyncDisposable {
  /**
   * Copies a blob into its ingest file, going on where an earlier try ended, and verifies it.
   *
   * @returns `stale` when bytes of an earlier try were wrong, and nothing is left
   * @throws RequestFailure `CORRUPT` when the whole does not match the descriptor; what the layout is wrong in
   * @throws the signal's reason
   */
  download(
    host: Pick<LayoutDirectoryHost, 'directory'>,
    wanted: LayoutDownload,
  ): Promise<'verified' | 'stale'>
  /** How many processes were given up in a directory and have not ended yet. */
  hungIn(directory: string): number
}

export interface SeparateLayoutOptions {
  /** Default 4 MiB. */
  readonly maxManifestBytes?: number
  /** A read without a byte for this long fails; default 30,000. */
  readonly deadlineMs?: number
  /** A process without a question for this long is ended; default 30,000: it costs some 40 MB, and 100 ms to start. */
  readonly idleMs?: number
  /** Of a copy whose file system was in trouble. */
  readonly retry?: RetryOptions
}

/**
 * Reads layouts in processes of their own: a file system that hangs (NFS, FUSE) costs a process, and not the driver; and not those who read
 * in other directories. Disposing ends the processes.
 */
export function createSeparateLayoutSource(
  options: SeparateLayoutOptions = {},
): SeparateLayoutSource {
  const { maxManifestBytes = DEFAULT_MANIFEST_LIMITS.bytes, retry } = options
  const { deadlineMs = 30_000, idleMs = 30_000 } = options
  /** One for each directory of the admin's configuration. */
  const readers = new Map<string, LayoutReaders>()

  const readersOf = ({ directory }: Pick<LayoutDirectoryHost, 'directory'>): LayoutReaders => {
    const known = readers.get(directory)
    if (known !== undefined) return known
    const made = createLayoutReaders(directory, { maxManifestBytes, deadlineMs, idleMs })
    readers.set(directory, made)
    return made
  }

  return {
    async resolve(host, reference, { signal }) {
      const request = { kind: 'resolve', reference } as const
      return (await readersOf(host).ask(request, 'resolved', { signal })).descriptor
    },
    async manifest(host, reference, { signal }) {
      const request = { kind: 'manifest', reference } as const
      const { fetched } = await readersOf(host).ask(request, 'manifest', { signal })
      return { ...fetched, credential: undefined }
    },
    async openBlob(host, reference, { digest, size }, { start, end, signal }) {
      const read = async (offset: number) => {
        const request = { kind: 'read', reference, digest, offset } as const
        return (await readersOf(host).ask(request, 'piece', { signal })).bytes
      }
      // Here, and not when somebody reads: what is missing, another host may have.
      const first = await read(start)
      // To the end of the file: that it is longer than the blob must be seen.
      const limit = end === size ? Number.POSITIVE_INFINITY : end
      return { kind: 'stream', chunks: readOn(first, { start, limit, read }) }
    },
    download: (host, wanted) =>
      withRetry(() => copy(readersOf(host), wanted), wanted.signal, retry),
    hungIn: (directory) => readers.get(directory)?.hung ?? 0,
    async [Symbol.asyncDispose]() {
      await Promise.all(Array.from(readers.values(), (each) => each[Symbol.asyncDispose]()))
    },
  }
}

async function* readOn(
  first: Uint8Array,
  {
    start,
    limit,
    read,
  }: {
    readonly start: number
    readonly limit: number
    readonly read: (offset: number) => Promise<Uint8Array>
  },
): AsyncGenerator<Uint8Array, void, undefined> {
  let piece = first
  for (let position = start; ; ) {
    const own = piece.subarray(0, limit - position)
    position += own.length
    if (own.length > 0) yield own
    if (piece.length < PIECE_BYTES || position >= limit) return
    piece = await read(position)
  }
}

async function copy(
  readers: LayoutReaders,
  { reference, descriptor, download, signal }: LayoutDownload,
): Promise<'verified' | 'stale'> {
  const { path, watermark, received } = download
  const { outcome } = await readers.ask({ kind: 'copy', reference, descriptor, path }, 'copied', {
    signal,
    onCopying: (bytes, prefix) => {
      setBytes(received, bytes)
      advanceWatermark(watermark, prefix)
    },
  })
  switch (outcome.kind) {
    case 'verified':
      return 'verified'
    case 'wrong': {
      if (outcome.resumed) return 'stale'
      const message = `the bytes of blob ${descriptor.digest} hash to ${outcome.digest}`
      throw new RequestFailure('CORRUPT', message)
    }
    case 'failed': {
      const error = unpackFailure(outcome.failure)
      const corrupt = error instanceof RequestFailure && error.code === 'CORRUPT'
      if (corrupt && outcome.resumed) return 'stale'
      throw error
    }
    case 'cancelled':
      throw new TypeError('A copy was cancelled that nobody cancelled')
  }
}

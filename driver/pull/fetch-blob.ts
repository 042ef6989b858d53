import { CodedError, isCodedError } from '../../common/errors.ts'
import type { ArtifactSource } from '../../common/oci/artifact-source.ts'
import { type BlobRoute, createBlobRoute } from '../../common/oci/blob-route.ts'
import type { Keyring } from '../../common/oci/credentials.ts'
import type { Descriptor } from '../../common/oci/descriptor.ts'
import type { Digest } from '../../common/oci/digest.ts'
import { formatReference, type Reference } from '../../common/oci/reference.ts'
import { subjectOf } from '../../common/oci/subject.ts'
import type { BlobStore, Origin } from '../store/blobs.ts'
import type { DownloadSpace } from './download/download-space.ts'
import type { DownloadThreads } from './download/download-threads.ts'
import { downloadInline } from './download/inline-download.ts'
import type { RunningDownload } from './download/running-download.ts'
import { reachStage } from './stages.ts'
import { endWatermark } from './watermark.ts'

/** What is downloaded, and where to. */
export interface BlobFetch {
  readonly source: ArtifactSource
  readonly reference: Reference
  readonly descriptor: Descriptor
  readonly keyring: Keyring
  readonly blobs: BlobStore
  readonly origin: Origin
  readonly signal: AbortSignal
  readonly download: RunningDownload
  /** Where big blobs are downloaded; absent: on this thread. */
  readonly threads?: DownloadThreads | undefined
  readonly space?: DownloadSpace | undefined
  readonly onWrongBlob?: OnWrongBlob | undefined
}

/** Hears that hosts sent other bytes than a blob has, nothing of which was used, and that another host is asked. */
export type OnWrongBlob = (wrong: {
  /** As it is written. */
  readonly reference: string
  readonly digest: Digest
  /** As a hosts.toml has them, e.g. `https://mirror.example.com`; several when each sent a part. */
  readonly hosts: readonly string[]
  readonly error: CodedError
}) => void

/**
 * Downloads a blob into its ingest file, going on where an earlier try or process ended, verifies it, and commits it.
 *
 * What was downloaded stays for the next try, unless it is known to be wrong: then it is deleted, and another host is asked if there is one.
 *
 * @throws CORRUPT when the whole does not match the descriptor; EXHAUSTED when there is no room for it; else as {@link ArtifactSource}
 */
export async function fetchBlob(fetch: BlobFetch): Promise<void> {
  const { reference, descriptor, blobs, origin, signal, download, space } = fetch
  signal.throwIfAborted()
  const subject = subjectOf(reference)
  using _ = await space?.reserve(download, descriptor.size, subject)
  const route = createBlobRoute()
  while (!(await downloadAfresh(fetch, route, subject))) download.restart()
  signal.throwIfAborted()
  reachStage('blob-verified')
  endWatermark(download.watermark, 'complete')
  await blobs.commit(download.path, descriptor.digest, origin)
  reachStage('blob-committed')
}

/** @returns false when what came was wrong, nothing of it is left, and there is another host to ask */
async function downloadAfresh(
  fetch: BlobFetch,
  route: BlobRoute,
  subject: string,
): Promise<boolean> {
  try {
    if (await downloadWhole(fetch, route)) return true
    // A wrong beginning that an earlier process left must not fail the pull for ever: once more from the start.
    fetch.download.restart()
    if (await downloadWhole(fetch, route)) return true
    throw new CodedError('CORRUPT', `${subject}: blob ${fetch.descriptor.digest} has other bytes`)
  } catch (error) {
    if (!isCodedError(error, 'CORRUPT')) throw error
    const { hosts, isAnyLeft } = route.distrust()
    if (!isAnyLeft) throw error
    const reference = formatReference(fetch.reference)
    fetch.onWrongBlob?.({ reference, digest: fetch.descriptor.digest, hosts, error })
    return false
  }
}

/** @returns false when bytes of an earlier try were wrong, and nothing is left */
async function downloadWhole(fetch: BlobFetch, route: BlobRoute): Promise<boolean> {
  const result = (await fetch.threads?.download({ ...fetch, route })) ?? 'unfit'
  return result === 'unfit' ? downloadInline({ ...fetch, route }) : result === 'verified'
}

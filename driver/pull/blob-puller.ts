import pLimit from 'p-limit'
import type { ArtifactSource } from '../../common/oci/artifact-source.ts'
import type { Keyring } from '../../common/oci/credentials.ts'
import type { Descriptor } from '../../common/oci/descriptor.ts'
import type { Reference } from '../../common/oci/reference.ts'
import { createKeyedLock } from '../keyed-lock.ts'
import type { Origin } from '../store/blobs.ts'
import { ingestPath } from '../store/ingest-files.ts'
import type { Store } from '../store/store.ts'
import { readBytes } from './download/byte-counter.ts'
import type { DownloadSpace } from './download/download-space.ts'
import type { DownloadThreads } from './download/download-threads.ts'
import {
  createRunningDownload,
  type FollowableDownload,
  type RunningDownload,
} from './download/running-download.ts'
import { fetchBlob } from './fetch-blob.ts'
import { createJobs } from './jobs.ts'
import { advanceWatermark, endWatermark } from './watermark.ts'

/** Who asks for a blob, and until when. */
export interface BlobCall {
  readonly reference: Reference
  readonly keyring: Keyring
  /** When it fires, the call ends; the download goes on for others and for a while. */
  readonly signal: AbortSignal
}

/**
 * Brings blobs to the node, each once for all who ask at the same time. Downloads are shared only by those who come to the same origin:
 * whoever asks elsewhere downloads for himself, since the registry that lets him is the proof that he may.
 */
export interface BlobPuller extends AsyncDisposable {
  /** Makes sure that the blob is in the store, downloaded from `origin`. @throws as {@link fetchBlob} */
  ensure(descriptor: Descriptor, origin: Origin, call: BlobCall): Promise<void>

  /**
   * A big blob's download, to be read while it runs: from the moment `ensure` was called, even while it waits for its turn, until
   * `ensure` has ended. Undefined for a small blob, and when nobody has asked.
   *
   * A reader whose watermark has failed asks again: the download may have begun anew.
   */
  follow(descriptor: Descriptor, origin: Origin): FollowableDownload | undefined

  /** How many bytes of a blob are here, as far as a download of this moment knows; 0 when there is none. */
  downloaded(descriptor: Descriptor, origin: Origin): number
}

/** Smaller ones are here before a thread or a follower has begun. */
const DEFAULT_BIG_BYTES = 2 * 1024 * 1024

export function createBlobPuller(options: {
  readonly store: Store
  readonly source: ArtifactSource
  /** How many blobs are downloaded at once on this node. */
  readonly maxDownloads: number
  /** Where big blobs are downloaded; absent: on the main thread. */
  readonly downloadThreads?: DownloadThreads
  /** From this size a blob is big; default 2 MiB. */
  readonly bigBytes?: number
  /** Asked whether a blob fits before it is asked for; absent where whoever pulls has made room. */
  readonly space?: DownloadSpace | undefined
  readonly lingerMs?: number
}): BlobPuller {
  const { store, source, downloadThreads, space, bigBytes = DEFAULT_BIG_BYTES } = options
  const { blobs, ingestDirectory } = store
  const turns = pLimit(options.maxDownloads)
  const jobs = createJobs<void>(options)
  const ingests = createKeyedLock()
  const running = new Map<string, RunningDownload>()
  const keyOf = ({ digest }: Descriptor, origin: Origin) => `${origin}@${digest}`

  return {
    ensure(descriptor, origin, { reference, keyring, signal }) {
      const key = keyOf(descriptor, origin)
      return jobs.join(
        key,
        async (job) => {
          const download = createRunningDownload(
            ingestPath(ingestDirectory, descriptor.digest, origin),
          )
          // Before the first await: whoever has called can follow.
          running.set(key, download)
          job.reportProgress(() => ({ done: readBytes(download.received), total: descriptor.size }))
          try {
            // One writer to an ingest file: a job that was cancelled may still be ending when the next begins.
            using _ = await ingests.acquire(key, job.signal)
            if (await blobs.has(descriptor.digest, origin)) {
              advanceWatermark(download.watermark, descriptor.size)
              endWatermark(download.watermark, 'complete')
              return
            }
            await turns(() =>
              fetchBlob({
                ...{ source, reference, descriptor, keyring, origin, blobs, space, download },
                signal: job.signal,
                threads: descriptor.size < bigBytes ? undefined : downloadThreads,
              }),
            )
          } finally {
            // Changes nothing where the download is complete.
            endWatermark(download.watermark, 'failed')
            // A cancelled job may end after its successor has begun.
            if (running.get(key) === download) running.delete(key)
          }
        },
        signal,
      )
    },
    follow(descriptor, origin) {
      const download = running.get(keyOf(descriptor, origin))
      if (download === undefined || descriptor.size < bigBytes) return undefined
      // As it is now: a download that begins anew has another watermark.
      return { path: download.path, watermark: download.watermark }
    },
    downloaded: (descriptor, origin) => jobs.progress(keyOf(descriptor, origin))?.done ?? 0,
    [Symbol.asyncDispose]: () => jobs[Symbol.asyncDispose](),
  }
}

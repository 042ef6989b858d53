import pLimit from 'p-limit'
import type { ArtifactSource } from '../../common/oci/artifact-source.ts'
import type { Keyring } from '../../common/oci/credentials.ts'
import type { Descriptor } from '../../common/oci/descriptor.ts'
import type { Reference } from '../../common/oci/reference.ts'
import { createKeyedLock } from '../keyed-lock.ts'
import type { Origin } from '../store/blobs.ts'
import type { Store } from '../store/store.ts'
import { fetchBlob } from './fetch-blob.ts'
import { createJobs } from './jobs.ts'

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

  /** How many bytes of a blob are here, as far as a download of this moment knows; 0 when there is none. */
  downloaded(descriptor: Descriptor, origin: Origin): number
}

export function createBlobPuller(options: {
  readonly store: Store
  readonly source: ArtifactSource
  /** How many blobs are downloaded at once on this node. */
  readonly maxDownloads: number
  readonly lingerMs?: number
}): BlobPuller {
  const { store, source } = options
  const { blobs, ingestDirectory } = store
  const downloads = pLimit(options.maxDownloads)
  const jobs = createJobs<void>(options)
  const ingests = createKeyedLock()
  const keyOf = ({ digest }: Descriptor, origin: Origin) => `${origin}@${digest}`

  return {
    ensure(descriptor, origin, { reference, keyring, signal }) {
      const key = keyOf(descriptor, origin)
      return jobs.join(
        key,
        async (job) => {
          // One writer to an ingest file: a job that was cancelled may still be ending when the next begins.
          using _ = await ingests.acquire(key, job.signal)
          if (await blobs.has(descriptor.digest, origin)) return
          let done = 0
          job.reportProgress(() => ({ done, total: descriptor.size }))
          await downloads(() =>
            fetchBlob({
              ...{ source, reference, descriptor, keyring, origin, blobs, ingestDirectory },
              signal: job.signal,
              onProgress: (bytes) => {
                done = bytes
              },
            }),
          )
        },
        signal,
      )
    },
    downloaded: (descriptor, origin) => jobs.progress(keyOf(descriptor, origin))?.done ?? 0,
    [Symbol.asyncDispose]: () => jobs[Symbol.asyncDispose](),
  }
}

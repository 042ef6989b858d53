import { CodedError } from '../../common/errors.ts'
import type { ArtifactSource } from '../../common/oci/artifact-source.ts'
import type { Keyring } from '../../common/oci/credentials.ts'
import type { Descriptor } from '../../common/oci/descriptor.ts'
import type { Digest } from '../../common/oci/digest.ts'
import type { Reference } from '../../common/oci/reference.ts'
import { subjectOf } from '../../common/oci/subject.ts'
import { createKeyedLock } from '../keyed-lock.ts'
import type { Origin } from '../store/blobs.ts'
import { ingestPath, removeIngest } from '../store/ingest-files.ts'
import type { Store } from '../store/store.ts'
import { readBytes } from './download/byte-counter.ts'
import type { DownloadSpace } from './download/download-space.ts'
import type { DownloadThreads } from './download/download-threads.ts'
import {
  createRunningDownload,
  type FollowableDownload,
  type RunningDownload,
} from './download/running-download.ts'
import { type BlobFetch, fetchBlob, type OnWrongBlob } from './fetch-blob.ts'
import { createJobs, type Jobs } from './jobs.ts'
import { isRefusal } from './manifest/refusals.ts'
import { createTurns, type Patience } from './turns.ts'
import { advanceWatermark, endWatermark } from './watermark.ts'

/** Who asks for a blob, and until when. */
export interface BlobCall {
  readonly reference: Reference
  readonly keyring: Keyring
  /** Names who asks, see {@link Jobs.join}. */
  readonly caller?: string
  /** When it fires, the call ends; the download goes on for others and for a while. */
  readonly signal: AbortSignal
}

/**
 * Brings blobs to the node, each once for all who ask at the same time and may have it.
 *
 * That a blob is on the disk, or on its way, is no permission, and neither is its digest: a manifest in an attacker's own registry may name
 * any. So a blob counts for those who come to the registry and repository that it was downloaded from ({@link Origin}; that they may
 * read there is for whoever calls to know), and for those whom the same registry says that they may read it in another of its
 * repositories. For everybody else it is downloaded in full from where he asks, verified, and only then becomes one file with the other.
 */
export interface BlobPuller extends AsyncDisposable {
  /** Makes sure that the blob is in the store and counts for who may read at `origin`. @throws as {@link fetchBlob} */
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

/** What a registry may have of the downloads that run at once: the rest is there for the others. */
const REGISTRY_SHARE = 3 / 4

/** A modem was faster. A hostile registry that sends a byte now and then never trips the time-out of a silent one. */
const DEFAULT_PATIENCE: Patience = { windowMs: 30_000, minBytesPerSecond: 1024 }

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
  /** With downloads that keep others waiting; default 1 KiB/s, taken over 30 s. */
  readonly patience?: Patience
  readonly onWrongBlob?: OnWrongBlob
}): BlobPuller {
  const { store, source, downloadThreads, space, bigBytes = DEFAULT_BIG_BYTES } = options
  const { onWrongBlob } = options
  const { blobs, ingestDirectory } = store
  const turns = createTurns({
    total: options.maxDownloads,
    perSharer: Math.max(1, Math.floor(options.maxDownloads * REGISTRY_SHARE)),
    patience: options.patience ?? DEFAULT_PATIENCE,
  })
  const jobs = createJobs<void>({ ...options, isPersonal: isRefusal })
  const ingests = createKeyedLock()
  const running = new Map<string, RunningDownload>()
  /** By digest: the origins from which bytes come in, each while its job does not wait for another's. */
  const fetching = new Map<Digest, Set<Origin>>()
  const keyOf = ({ digest }: Descriptor, origin: Origin) => `${origin}@${digest}`
  /** Whose manifest states another size waits for his own verdict: an admin's limits go by what is stated. */
  const jobKeyOf = (descriptor: Descriptor, origin: Origin) =>
    `${keyOf(descriptor, origin)} of ${descriptor.size}`

  /**
   * Takes a blob over from another repository of the same registry, on the disk or on its way, if that registry lets this caller read it in
   * his own. A yes from any other registry says nothing: an attacker's says it to everything.
   *
   * @returns false when it is to be downloaded
   */
  const takeOver = async (
    descriptor: Descriptor,
    origin: Origin,
    { reference, keyring, signal }: BlobCall,
  ): Promise<boolean> => {
    const isSibling = (other: Origin) => other.startsWith(`${reference.registry}/`)
    const { digest, size } = descriptor
    const others = new Set([...(fetching.get(digest) ?? []), ...(await blobs.origins(digest))])
    // What this one has is not fit, and its job the one that asks.
    others.delete(origin)
    const siblings = [...others].filter(isSibling)
    if (siblings.length === 0 || source.mayRead === undefined) return false
    const call = { keyring, signal, authoritativeOnly: true }
    if (!(await source.mayRead(reference, descriptor, call))) return false
    for (const sibling of siblings) {
      // Its failure is its own: then the next, or a download.
      await jobs.joinRunning(jobKeyOf(descriptor, sibling), signal)?.catch(() => undefined)
      signal.throwIfAborted()
      if (await blobs.has(digest, sibling, size)) return blobs.addOrigin(digest, origin)
    }
    return false
  }

  const fetch = async (options: BlobFetch): Promise<void> => {
    const { descriptor, origin, reference, download } = options
    const origins = fetching.get(descriptor.digest) ?? new Set()
    fetching.set(descriptor.digest, origins.add(origin))
    try {
      await turns.take({
        sharer: reference.registry,
        signal: options.signal,
        progress() {
          const bytes = readBytes(download.received)
          return bytes < descriptor.size ? bytes : 'done'
        },
        tooSlow: (ms) => tooSlow(reference, descriptor, ms),
        work: (signal) => fetchBlob({ ...options, signal }),
      })
    } finally {
      origins.delete(origin)
      if (origins.size === 0) fetching.delete(descriptor.digest)
    }
  }

  return {
    ensure(descriptor, origin, { reference, keyring, signal, caller }) {
      const key = keyOf(descriptor, origin)
      const jobKey = jobKeyOf(descriptor, origin)
      return jobs.join(
        jobKey,
        async (job) => {
          const download = createRunningDownload(
            ingestPath(ingestDirectory, descriptor.digest, origin),
          )
          // Before the first await: whoever has called can follow.
          running.set(jobKey, download)
          job.reportProgress(() => ({ done: readBytes(download.received), total: descriptor.size }))
          try {
            // One writer to an ingest file: a job that was cancelled may still be ending when the next begins.
            using _ = await ingests.acquire(key, job.signal)
            const call = { reference, keyring, signal: job.signal }
            // One of another size than is stated is not taken: the download says what is wrong, as if nothing were here.
            const isHere =
              (await blobs.has(descriptor.digest, origin, descriptor.size)) ||
              (await takeOver(descriptor, origin, call))
            if (isHere) {
              // A follower is to read the blob, and not what an earlier download left.
              await removeIngest(download.path)
              advanceWatermark(download.watermark, descriptor.size)
              endWatermark(download.watermark, 'complete')
              return
            }
            await fetch({
              ...{ source, descriptor, origin, blobs, space, download, onWrongBlob },
              ...call,
              threads: descriptor.size < bigBytes ? undefined : downloadThreads,
            })
          } finally {
            // Changes nothing where the download is complete.
            endWatermark(download.watermark, 'failed')
            // A cancelled job may end after its successor has begun.
            if (running.get(jobKey) === download) running.delete(jobKey)
          }
        },
        signal,
        caller,
      )
    },
    follow(descriptor, origin) {
      const download = running.get(jobKeyOf(descriptor, origin))
      if (download === undefined || descriptor.size < bigBytes) return undefined
      // As it is now: a download that begins anew has another watermark.
      return { path: download.path, watermark: download.watermark }
    },
    downloaded: (descriptor, origin) => jobs.progress(jobKeyOf(descriptor, origin))?.done ?? 0,
    [Symbol.asyncDispose]: () => jobs[Symbol.asyncDispose](),
  }
}

function tooSlow(reference: Reference, { digest }: Descriptor, ms: number): CodedError {
  return new CodedError(
    'UNAVAILABLE',
    `${subjectOf(reference)}: blob ${digest} came in too slowly over the last ${Math.round(ms / 1_000)} s while other downloads waited for their turn; what came is kept, and the next try goes on from there`,
  )
}

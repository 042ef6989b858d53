import { CodedError, isCodedError } from '../../../common/errors.ts'
import type { CallOptions } from '../../../common/oci/artifact-source.ts'
import { type BlobRoute, createBlobRoute } from '../../../common/oci/blob-route.ts'
import type { Descriptor } from '../../../common/oci/descriptor.ts'
import { formatReference, type Reference } from '../../../common/oci/reference.ts'
import { toPullError } from '../../../common/oci/registry-client.ts'
import type { RegistrySource } from '../../../common/oci/registry-source.ts'
import { UnfitError } from '../../../common/oci/unfit.ts'
import type { ConnectionBudget } from './connection-budget.ts'
import type { DownloadOutcome, DownloadReport } from './download-message.ts'
import { packFailure, unpackFailure } from './failure-data.ts'
import { createPartOpener } from './part-opener.ts'
import type { RunningDownload } from './running-download.ts'
import type { DownloadThread } from './thread.ts'

/** A blob that is to be downloaded in a thread. */
export interface ThreadDownload extends CallOptions {
  readonly reference: Reference
  readonly descriptor: Descriptor
  readonly download: RunningDownload
  /** Where the bytes come from; default: one of its own. */
  readonly route?: BlobRoute
}

/**
 * `verified`: the whole blob is in the file; `stale`: bytes of an earlier try were wrong, and nothing is left: begin afresh; `unfit`: the
 * server answers in a way that only the full HTTP client can read, what is there stays.
 */
export type ThreadDownloadResult = 'verified' | 'stale' | 'unfit'

type PartWanted = Extract<DownloadReport, { readonly kind: 'open' }>

/**
 * Downloads a blob in a thread: the thread says which parts it wants, and this side decides, by the source's rules, what is sent for
 * them. By the end nobody writes to the file any more.
 *
 * @throws CORRUPT when the whole does not match the descriptor; else as {@link ArtifactSource}
 */
export async function downloadInThread(
  { reference, descriptor, download, keyring, signal, route = createBlobRoute() }: ThreadDownload,
  {
    thread,
    source,
    budget,
    maxConnections,
  }: {
    readonly thread: DownloadThread
    readonly source: Pick<RegistrySource, 'openBlob'>
    readonly budget: ConnectionBudget
    readonly maxConnections: number
  },
): Promise<ThreadDownloadResult> {
  const { path, watermark, received } = download
  using share = budget.share(reference.registry)
  const ended = new AbortController()
  let unfit = false
  let outcome: DownloadOutcome
  {
    using running = thread.begin(
      {
        path,
        watermark,
        received,
        maxConnections,
        size: descriptor.size,
        digest: descriptor.digest,
      },
      {
        onOpen: (part) => void open(part),
        onWant: (connections) =>
          running.post({ kind: 'grant', connections: share.resize(connections) }),
      },
    )
    const opener = createPartOpener({
      ...{ source, reference, descriptor, route, connections: thread.exchanges },
      call: { keyring, signal: AbortSignal.any([signal, ended.signal]) },
      onOverload: () => running.post({ kind: 'slow-down' }),
    })
    const open = async ({ part, start, end, sole }: PartWanted) => {
      try {
        const opened = await opener.open({ start, end, sole })
        running.post({ kind: 'accept', part, ...opened })
      } catch (error) {
        if (signal.aborted || ended.signal.aborted) return
        if (error instanceof UnfitError && sole) {
          unfit = true
          running.post({ kind: 'cancel' })
        } else running.post({ kind: 'refuse', part, failure: packFailure(error) })
      }
    }
    const cancel = () => running.post({ kind: 'cancel' })
    signal.addEventListener('abort', cancel, { once: true })
    try {
      outcome = await running.outcome
    } finally {
      signal.removeEventListener('abort', cancel)
      ended.abort()
    }
  }
  signal.throwIfAborted()
  if (unfit) return 'unfit'
  switch (outcome.kind) {
    case 'verified':
      return 'verified'
    case 'wrong':
      if (outcome.resumed) return 'stale'
      throw new CodedError(
        'CORRUPT',
        `Cannot pull "${formatReference(reference)}": the bytes of blob ${descriptor.digest} hash to ${outcome.digest}`,
      )
    case 'failed': {
      const error = toPullError(unpackFailure(outcome.failure), reference)
      if (isCodedError(error, 'CORRUPT') && outcome.resumed) return 'stale'
      throw error
    }
    case 'cancelled':
      throw new CodedError('INTERNAL', 'A download was cancelled that nobody cancelled')
  }
}

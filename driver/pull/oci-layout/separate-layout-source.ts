import { CodedError, isCodedError } from '../../../common/errors.ts'
import type { ArtifactSource } from '../../../common/oci/artifact-source.ts'
import { verifiedLayoutBlob } from '../../../common/oci/layout-source.ts'
import { subjectOf } from '../../../common/oci/subject.ts'
import { setBytes } from '../download/byte-counter.ts'
import type { DownloadThreads } from '../download/download-threads.ts'
import { unpackFailure } from '../download/failure-data.ts'
import { advanceWatermark } from '../watermark.ts'
import { createWorkerPool } from '../worker-pool.ts'
import { PIECE_BYTES, type ReaderAnswer, type ReaderRequest } from './reader-message.ts'
import { type AskOptions, type ReaderProcess, startReaderProcess } from './reader-process.ts'

/** OCI layouts as a source that can hang without harm, and as the one who downloads their big blobs. */
export interface SeparateLayoutSource
  extends ArtifactSource,
    Pick<DownloadThreads, 'download'>,
    AsyncDisposable {
  /** How many processes were given up and have not ended yet. */
  readonly hung: number
}

/** Reading files from a disk does not get faster by more. */
const PROCESSES = 2
/** Each holds some 40 MB until its file system comes back. */
const MAX_HUNG = 4
const DEADLINE_MS = 30_000
/** A process costs some 40 MB, and 100 ms to start. */
const IDLE_MS = 30_000

/**
 * Reads layouts below `root` in processes of their own: a file system that hangs (NFS, FUSE) costs a process, and not the driver. Reads that
 * take longer than `deadlineMs` without a byte fail; a blob is then copied on from where it was.
 *
 * Messages are those of the layout source; UNAVAILABLE when the file system does not answer.
 */
export function createSeparateLayoutSource(options: {
  readonly root: string
  readonly deadlineMs?: number
  readonly idleMs?: number
}): SeparateLayoutSource {
  const { root, deadlineMs = DEADLINE_MS, idleMs = IDLE_MS } = options
  let hung = 0
  const processes = createWorkerPool<ReaderProcess>({
    ...{ size: PROCESSES, idleMs },
    stopped: () => new CodedError('UNAVAILABLE', 'The driver is stopping'),
    start: () =>
      startReaderProcess({
        deadlineMs,
        onHung: (ended) => {
          hung += 1
          void ended.then(() => {
            hung -= 1
          })
        },
      }),
  })

  const ask = async <K extends ReaderAnswer['kind']>(
    request: ReaderRequest,
    kind: K,
    call: AskOptions,
  ): Promise<Extract<ReaderAnswer, { kind: K }>> => {
    if (hung >= MAX_HUNG) {
      throw new CodedError(
        'UNAVAILABLE',
        `${subjectOf(request.reference)}: ${hung} reads of the OCI layout in "${root}" hang; is its file system there?`,
      )
    }
    const answer = await processes.use(call.signal, (reader) => reader.ask(request, call))
    if (!isOfKind(answer, kind)) {
      throw new CodedError('INTERNAL', `Asked for "${kind}", was answered "${answer.kind}"`)
    }
    return answer
  }

  return {
    async resolve(reference, { signal }) {
      return (await ask({ kind: 'resolve', root, reference }, 'resolved', { signal })).descriptor
    },
    async manifest(reference, { signal }) {
      const { fetched } = await ask({ kind: 'manifest', root, reference }, 'manifest', { signal })
      return { ...fetched, credential: undefined }
    },
    blob: (asked, descriptor, call) =>
      verifiedLayoutBlob(
        async function* (reference, digest, { signal, offset }) {
          for (let position = offset; ; ) {
            const request = { kind: 'read', root, reference, digest, offset: position } as const
            const { bytes } = await ask(request, 'piece', { signal })
            if (bytes.length > 0) yield bytes
            if (bytes.length < PIECE_BYTES) return
            position += bytes.length
          }
        },
        asked,
        descriptor,
        call,
      ),
    async download({ reference, descriptor, download, signal }) {
      const { path, watermark, received } = download
      const { outcome } = await ask({ kind: 'copy', root, reference, descriptor, path }, 'copied', {
        signal,
        onCopying: (bytes, prefix) => {
          setBytes(received, bytes)
          advanceWatermark(watermark, prefix)
        },
      })
      switch (outcome.kind) {
        case 'verified':
          return 'verified'
        case 'wrong':
          if (outcome.resumed) return 'stale'
          throw new CodedError(
            'CORRUPT',
            `${subjectOf(reference)}: the bytes of blob ${descriptor.digest} hash to ${outcome.digest}`,
          )
        case 'failed': {
          const error = unpackFailure(outcome.failure)
          if (isCodedError(error, 'CORRUPT') && outcome.resumed) return 'stale'
          throw error
        }
        case 'cancelled':
          throw new CodedError('INTERNAL', 'A copy was cancelled that nobody cancelled')
      }
    },
    get hung() {
      return hung
    },
    [Symbol.asyncDispose]: () => processes[Symbol.asyncDispose](),
  }
}

function isOfKind<K extends ReaderAnswer['kind']>(
  answer: ReaderAnswer,
  kind: K,
): answer is Extract<ReaderAnswer, { kind: K }> {
  return answer.kind === kind
}

import { RequestFailure } from '../../../common/oci/request-failure.ts'
import { createWorkerPool } from '../worker-pool.ts'
import type { ReaderAnswer, ReaderRequest } from './reader-message.ts'
import { type AskOptions, type ReaderProcess, startReaderProcess } from './reader-process.ts'

/** The processes that read the layouts of one directory. */
export interface LayoutReaders extends AsyncDisposable {
  /** How many processes were given up and have not ended yet. */
  readonly hung: number
  /** Asks one of them. @throws as {@link ReaderProcess} */
  ask<K extends ReaderAnswer['kind']>(
    request: ReaderRequest,
    kind: K,
    call: AskOptions,
  ): Promise<Extract<ReaderAnswer, { readonly kind: K }>>
}

/** How layouts are read. */
export interface LayoutReaderOptions {
  readonly maxManifestBytes: number
  /** A read without a byte for this long fails. */
  readonly deadlineMs: number
  /** A process without a question for this long is ended. */
  readonly idleMs: number
}

/** Reading files from a disk does not get faster by more. */
const COPIERS = 2
/** Beside those: who asks what a tag names does not wait for somebody's gigabytes. */
const READERS = 1
/** Each holds some 40 MB until its file system comes back. */
const MAX_HUNG = 4

/** Has processes of its own for each directory: one that hangs keeps nobody from reading another. */
export function createLayoutReaders(root: string, options: LayoutReaderOptions): LayoutReaders {
  const { maxManifestBytes, deadlineMs, idleMs } = options
  let hung = 0
  const pool = (size: number) =>
    createWorkerPool<ReaderProcess>({
      ...{ size, idleMs },
      stopped: () => new RequestFailure('UNAVAILABLE', 'the driver is stopping'),
      start: () =>
        startReaderProcess({
          ...{ root, maxManifestBytes, deadlineMs },
          onHung: (ended) => {
            hung += 1
            void ended.then(() => {
              hung -= 1
            })
          },
        }),
    })
  const readers = pool(READERS)
  const copiers = pool(COPIERS)
  return {
    get hung() {
      return hung
    },
    async ask(request, kind, call) {
      if (hung >= MAX_HUNG) {
        throw new RequestFailure(
          'UNAVAILABLE',
          `${hung} reads of the OCI layouts in ${JSON.stringify(root)} hang; is its file system there?`,
          { unreachable: true },
        )
      }
      const processes = request.kind === 'copy' ? copiers : readers
      const answer = await processes.use(call.signal, (reader) => reader.ask(request, call))
      if (!isOfKind(answer, kind)) {
        throw new TypeError(`Asked for "${kind}", was answered "${answer.kind}"`)
      }
      return answer
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([readers[Symbol.asyncDispose](), copiers[Symbol.asyncDispose]()])
    },
  }
}

function isOfKind<K extends ReaderAnswer['kind']>(
  answer: ReaderAnswer,
  kind: K,
): answer is Extract<ReaderAnswer, { readonly kind: K }> {
  return answer.kind === kind
}

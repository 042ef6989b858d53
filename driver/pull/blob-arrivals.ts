import type { Descriptor } from '../../common/oci/descriptor.ts'
import type { Digest } from '../../common/oci/digest.ts'
import type { Origin } from '../store/blobs.ts'
import type { BlobPuller } from './blob-puller.ts'
import type { FollowableDownload } from './download/running-download.ts'

/** The blobs of one tree, on their way to the node. */
export interface BlobArrivals {
  /** Brings a blob by `ensure`, and tells those who wait for it what came of it. To be called once for each blob. */
  bring(blob: Descriptor, ensure: () => Promise<void>): Promise<void>

  /** Resolves when the blob is verified and in the store. @throws what bringing it threw */
  whenHere(blob: Descriptor): Promise<void>

  /** Resolves when every blob is. @throws what bringing the first that failed threw */
  whenAllHere(): Promise<void>

  /** Waits until the blob is being downloaded, and gives what to follow; undefined when it is here, or too small for that. */
  whenReadable(blob: Descriptor): Promise<FollowableDownload | undefined>

  /** How many bytes are here, of all blobs together. */
  bytes(): number
}

export function createBlobArrivals(
  expected: readonly Descriptor[],
  options: { readonly blobs: Pick<BlobPuller, 'follow' | 'downloaded'>; readonly origin: Origin },
): BlobArrivals {
  const { blobs, origin } = options
  const begun = new Map<Digest, PromiseWithResolvers<void>>()
  const here = new Map<Digest, PromiseWithResolvers<void>>()
  const done = new Set<Digest>()
  for (const { digest } of expected) {
    begun.set(digest, Promise.withResolvers())
    const arrival = Promise.withResolvers<void>()
    // Perhaps nobody waits for just this one.
    arrival.promise.catch(() => undefined)
    here.set(digest, arrival)
  }

  const arrivals: BlobArrivals = {
    async bring({ digest }, ensure) {
      try {
        const ensured = ensure()
        begun.get(digest)?.resolve()
        await ensured
        done.add(digest)
        here.get(digest)?.resolve()
      } catch (error) {
        here.get(digest)?.reject(error)
        throw error
      }
    },
    whenHere: async ({ digest }) => here.get(digest)?.promise,
    async whenAllHere() {
      await Promise.all([...here.values()].map(({ promise }) => promise))
    },
    async whenReadable(blob) {
      await Promise.race([begun.get(blob.digest)?.promise, here.get(blob.digest)?.promise])
      const download = blobs.follow(blob, origin)
      if (download === undefined) await arrivals.whenHere(blob)
      return download
    },
    bytes: () =>
      expected.reduce(
        (sum, blob) => sum + (done.has(blob.digest) ? blob.size : blobs.downloaded(blob, origin)),
        0,
      ),
  }
  return arrivals
}

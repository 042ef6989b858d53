import { createHash } from 'node:crypto'
import { CodedError } from '../../../common/errors.ts'
import { type Digest, digestAlgorithm, finishDigest } from '../../../common/oci/digest.ts'
import type { ArchiveBudget } from '../tree/tree-budget.ts'
import type { Cancellation } from '../tree/tree-job.ts'
import { decompress } from './decompress.ts'
import type { TarHandler } from './tar-entry.ts'
import { createTarReader } from './tar-reader.ts'

/**
 * Decompresses and reads an archive to its last byte, handing its entries to `handler`.
 *
 * The input may still be growing: nothing is asked of it but the next chunk.
 *
 * @throws CORRUPT for malformed data or another digest than `contentDigest`; INVALID and EXHAUSTED as reader, handler and
 * budget do; the signal's reason when it fires; what the input throws
 */
export async function unpack(
  input: AsyncIterable<Uint8Array>,
  options: {
    readonly handler: TarHandler
    readonly budget: ArchiveBudget
    readonly signal: Cancellation
    /** Of the decompressed bytes, those behind the archive's end included. */
    readonly contentDigest?: Digest
  },
): Promise<void> {
  const { handler, budget, signal, contentDigest } = options
  const algorithm = contentDigest && digestAlgorithm(contentDigest)
  const hash = algorithm && createHash(algorithm)
  const reader = createTarReader(handler)
  for await (const chunk of decompress(input, budget.limits)) {
    signal.throwIfAborted()
    budget.takeBytes(chunk.length)
    hash?.update(chunk)
    reader.push(chunk)
  }
  reader.end()
  if (hash === undefined || algorithm === undefined) return
  const found = finishDigest(algorithm, hash)
  if (found === contentDigest) return
  throw new CodedError(
    'CORRUPT',
    `Decompressed content is ${found}, expected ${contentDigest} (annotation "io.deis.oras.content.digest")`,
  )
}

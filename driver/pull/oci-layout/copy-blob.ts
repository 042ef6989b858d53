import { isSystemError } from '../../../common/errors.ts'
import type { Descriptor } from '../../../common/oci/descriptor.ts'
import type { LayoutSource } from '../../../common/oci/layout-source.ts'
import type { Reference } from '../../../common/oci/reference.ts'
import { RequestFailure } from '../../../common/oci/request-failure.ts'
import { createByteCounter } from '../download/byte-counter.ts'
import type { DownloadOutcome } from '../download/download-message.ts'
import { packFailure } from '../download/failure-data.ts'
import { openIngest } from '../download/ingest.ts'
import { createWatermark } from '../watermark.ts'

/** Each word to the driver costs its main thread some 20 microseconds, and is a sign of life. */
const TELL_BYTES = 1024 * 1024
const TELL_MS = 50
/** Of what an earlier try left, some 30 ms each: gigabytes of it take longer than the driver waits for a word. */
const TELL_HASHED_PIECES = 16

/**
 * Copies a blob of a layout into its ingest file by blocking calls, going on where an earlier try ended, and hashes it.
 *
 * @param onBytes told how much is in the file: all told, and in order from its start
 * @throws a system error when the ingest file cannot be opened; else what goes wrong is the outcome
 */
export async function copyBlob(
  layout: LayoutSource,
  { reference, descriptor, path }: CopyOptions,
  onBytes: (received: number, prefix: number) => void,
): Promise<DownloadOutcome> {
  const { size, digest } = descriptor
  // The driver keeps its own count of what this process says.
  const shared = { watermark: createWatermark(), received: createByteCounter() }
  using ingest = openIngest({ path, size, digest, ...shared })
  const tell = () => {
    told = { bytes: ingest.parts.total, ms: performance.now() }
    onBytes(ingest.parts.total, ingest.parts.prefix)
  }
  let told = { bytes: 0, ms: 0 }
  try {
    for (let pieces = 1; ingest.behind; pieces++) {
      ingest.catchUp()
      if (pieces % TELL_HASHED_PIECES === 0) tell()
    }
    tell()
    const signal = new AbortController().signal
    let position = ingest.parts.prefix
    for await (const chunk of layout.openBlob(reference, digest, { signal, offset: position })) {
      if (position + chunk.length > size) throw wrongSize(descriptor, 'more than')
      ingest.write(chunk, position)
      position += chunk.length
      const late = performance.now() - told.ms > TELL_MS
      if (late || position - told.bytes >= TELL_BYTES) tell()
    }
    tell()
    if (position < size) throw wrongSize(descriptor, `${position} of`)
    while (!ingest.hashed) ingest.catchUp()
    const found = ingest.finish()
    if (found === digest) {
      ingest.removeRecord()
      return { kind: 'verified' }
    }
    ingest.remove()
    return { kind: 'wrong', digest: found, resumed: ingest.resumed }
  } catch (error) {
    // What filled the disk must not go on filling it.
    const corrupt = error instanceof RequestFailure && error.code === 'CORRUPT'
    if (corrupt || isSystemError(error, 'ENOSPC', 'EDQUOT')) ingest.remove()
    return { kind: 'failed', failure: packFailure(error), resumed: ingest.resumed }
  }
}

export interface CopyOptions {
  readonly reference: Reference
  readonly descriptor: Descriptor
  /** Of the ingest file. */
  readonly path: string
}

function wrongSize({ size, digest }: Descriptor, found: string): RequestFailure {
  return new RequestFailure('CORRUPT', `layout has ${found} the ${size} bytes of blob ${digest}`)
}

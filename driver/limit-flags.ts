import { CodedError } from '../common/errors.ts'
import { byteCount, durationMs, type FlagTable, type FlagValues, integer } from '../common/flags.ts'
import type { PullLimits } from './pull/pull-limits.ts'

const MIB = 1024 ** 2
/** More than any disk has: in effect, no limit. */
const ANY_BYTES = 2 ** 50

/** The flags that say what a pull may cost. Messages about a limit name its flag. */
export const LIMIT_FLAGS = {
  'max-decompressed-bytes': {
    value: 'BYTES',
    doc: 'what the archives of an artifact may decompress to, together',
    default: '100Gi',
    parse: byteCount(1, ANY_BYTES),
  },
  'max-decompression-ratio': {
    value: 'NUMBER',
    doc: 'how many bytes an archive may decompress to for each compressed one',
    default: '200',
    parse: integer(1, 1_000_000),
  },
  'decompression-ratio-from': {
    value: 'BYTES',
    doc: 'what an archive may decompress to whatever its ratio',
    default: '256Mi',
    parse: byteCount(0, ANY_BYTES),
  },
  'max-entries': {
    value: 'COUNT',
    doc: 'how many entries the archives of an artifact may have, together',
    default: '1000000',
    parse: integer(1, 1_000_000_000),
  },
  'max-path-bytes': {
    value: 'BYTES',
    doc: "how long an archive's names may be; Linux takes 4096",
    default: '4096',
    parse: integer(1, 4096),
  },
  'max-path-depth': {
    value: 'COUNT',
    doc: "how many directories deep an archive's names may be",
    default: '64',
    parse: integer(1, 1024),
  },
  'max-zstd-window': {
    value: 'BYTES',
    doc: 'how much memory a zstd archive may ask for; rounded down to a power of two',
    default: '128Mi',
    // What the format and the decoder can: 2^10 to 2^31.
    parse: byteCount(1024, 2048 * MIB),
  },
  'max-manifest-bytes': {
    value: 'BYTES',
    doc: 'how large a manifest or index may be',
    default: '4Mi',
    // Parsed at once, while nobody else is answered.
    parse: byteCount(1, 64 * MIB),
  },
  'max-layers': {
    value: 'COUNT',
    doc: 'how many layers a manifest, or manifests an index may have',
    default: '1000',
    parse: integer(1, 100_000),
  },
  'max-index-depth': {
    value: 'COUNT',
    doc: 'how many indexes may stand one within the other',
    default: '3',
    parse: integer(1, 16),
  },
  'max-stall': {
    value: 'DURATION',
    doc: 'after how long without a byte a connection is dropped',
    default: '30s',
    parse: (value) => {
      const ms = durationMs(value)
      // 0 would mean never to the HTTP client.
      if (ms < 1_000) throw new CodedError('INVALID', 'expected at least 1s')
      return ms
    },
  },
  'min-free-bytes': {
    value: 'BYTES',
    doc: "what stays free on the store's file system, but at most a twentieth of it",
    default: '1Gi',
    parse: byteCount(0, ANY_BYTES),
  },
  'min-free-inodes': {
    value: 'COUNT',
    doc: "how many inodes stay free on the store's file system, but at most a twentieth of them",
    default: '10000',
    parse: integer(0, 1_000_000_000),
  },
} as const satisfies FlagTable

/** What the flags say. */
export function limitsOf(values: FlagValues<typeof LIMIT_FLAGS>): PullLimits {
  return {
    tree: {
      decompressedBytes: values['max-decompressed-bytes'],
      ratio: values['max-decompression-ratio'],
      ratioFreeBytes: values['decompression-ratio-from'],
      entries: values['max-entries'],
      pathBytes: values['max-path-bytes'],
      depth: values['max-path-depth'],
      zstdWindowBytes: values['max-zstd-window'],
      minFreeBytes: values['min-free-bytes'],
      minFreeInodes: values['min-free-inodes'],
    },
    manifest: { bytes: values['max-manifest-bytes'], children: values['max-layers'] },
    indexDepth: values['max-index-depth'],
    stallMs: values['max-stall'],
  }
}

import { byteCount, type FlagTable, intervalMs } from '../common/flags.ts'

/** The flags about volumes that pods may write in. */
export const WRITABLE_FLAGS = {
  'max-writable-bytes': {
    value: 'BYTES',
    doc: 'what a pod should write in a writable volume; more is told in log, metrics and statistics, and not stopped',
    default: '1Gi',
    parse: byteCount(1, 2 ** 50),
  },
  'writable-interval': {
    value: 'DURATION',
    doc: 'how often writable volumes are measured',
    default: '1m',
    parse: intervalMs,
  },
} as const satisfies FlagTable

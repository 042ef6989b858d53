import { CodedError } from '../common/errors.ts'
import {
  byteCount,
  durationMs,
  type FlagTable,
  type FlagValues,
  integer,
  intervalMs,
  optional,
} from '../common/flags.ts'
import type { Marks } from './store/eviction/goals.ts'

/** More than any disk has. */
const ANY_BYTES = 2 ** 50

/** The flags that say how much of the node's disk is kept for artifacts that no pod uses any more. */
export const EVICTION_FLAGS = {
  'eviction-high-mark': {
    value: 'PERCENT',
    doc: "when so much of the store's file system is used, bytes or inodes, unused artifacts are evicted; below the kubelet's own 85",
    default: '80',
    parse: integer(1, 100),
  },
  'eviction-low-mark': {
    value: 'PERCENT',
    doc: 'until less than this is used',
    default: '75',
    parse: integer(0, 99),
  },
  'max-store-bytes': {
    value: 'BYTES',
    doc: 'what the store may take; default: what the marks leave it',
    default: '',
    parse: optional(byteCount(1, ANY_BYTES)),
  },
  'keep-bytes': {
    value: 'BYTES',
    doc: 'below this the store is not evicted when others fill the disk, but at most a twentieth of the file system',
    default: '1Gi',
    parse: byteCount(0, ANY_BYTES),
  },
  'eviction-min-age': {
    value: 'DURATION',
    doc: 'how long an artifact stays after its last pod, unless another waits for the room',
    default: '5m',
    parse: durationMs,
  },
  'eviction-interval': {
    value: 'DURATION',
    doc: 'how often the marks are looked at',
    default: '1m',
    parse: intervalMs,
  },
} as const satisfies FlagTable

/** What the flags say. @throws INVALID when they contradict each other */
export function marksOf(values: FlagValues<typeof EVICTION_FLAGS>): Marks {
  const high = values['eviction-high-mark']
  const low = values['eviction-low-mark']
  if (low >= high) {
    throw new CodedError(
      'INVALID',
      `Invalid --eviction-low-mark ${low}: expected less than --eviction-high-mark, which is ${high}`,
    )
  }
  const maxBytes = values['max-store-bytes']
  return {
    high: high / 100,
    low: low / 100,
    keepBytes: values['keep-bytes'],
    minAgeMs: values['eviction-min-age'],
    ...(maxBytes !== undefined && { maxBytes }),
  }
}

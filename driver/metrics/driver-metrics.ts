import { type Counter, createMetrics, type Histogram, type Metrics } from '../../common/metrics.ts'
import type { OnEvicted } from '../store/eviction/evictor.ts'

/** `OK`, or the code of the error that a call ended with. */
export type ResultCode = string

/** What happens in a driver, to be counted. */
export interface DriverObserver {
  /** A pull has ended: a tree, with what it had to download of it. Those who wait for one together are one pull. */
  pulled(code: ResultCode, bytes: number, seconds: number): void
  /** A volume's source was asked for: the node had its tree, or it had to be pulled. */
  asked(result: 'hit' | 'miss'): void
  /** A volume's source was shown as its tag was last resolved: the registry did not answer. */
  outage(): void
  /** A download of a blob was begun anew at another host: what came was wrong. */
  wrongBlob(): void
  published(code: ResultCode, seconds: number): void
  unpublished(code: ResultCode, seconds: number): void
  readonly evicted: OnEvicted
}

/** What a driver tells Prometheus. */
export interface DriverMetrics {
  readonly observer: DriverObserver
  readonly metrics: Metrics
}

/** A cached volume takes a millisecond; the kubelet gives up after two minutes. */
const CALL_BOUNDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120,
]
/** Small artifacts take a tenth of a second, and pulls go on when a call gives up. */
const PULL_BOUNDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600]

/** Makes the metrics of what happens; those of what there is are added by `addStoreMetrics` and `addProcessMetrics`. */
export function createDriverMetrics(options: {
  readonly version: string
  readonly onError: (error: unknown) => void
}): DriverMetrics {
  const metrics = createMetrics(options)
  metrics.gauge('oras_csi_build_info', 'What runs; always 1.', () => [
    { value: 1, labels: { version: options.version, node: process.version } },
  ])
  const publishes = metrics.histogram(
    'oras_csi_publish_duration_seconds',
    'How long NodePublishVolume took, by the code it was answered with.',
    CALL_BOUNDS,
  )
  const unpublishes = metrics.histogram(
    'oras_csi_unpublish_duration_seconds',
    'How long NodeUnpublishVolume took, by the code it was answered with.',
    CALL_BOUNDS,
  )
  const pulls = metrics.histogram(
    'oras_csi_pull_duration_seconds',
    'How long it took to download and unpack an artifact, by the code it ended with; once for all who waited.',
    PULL_BOUNDS,
  )
  const pulledBytes = withStart(
    metrics.counter(
      'oras_csi_pulled_bytes_total',
      'Size of the blobs of artifacts that were pulled.',
    ),
  )
  const asked = metrics.counter(
    'oras_csi_cache_requests_total',
    'Sources of volumes that were asked for, by whether the node had them.',
  )
  for (const result of ['hit', 'miss']) asked.add(0, { result })
  const outages = withStart(
    metrics.counter(
      'oras_csi_outage_starts_total',
      'Sources of volumes whose tag was taken for what it last meant, since the registry did not answer.',
    ),
  )
  const wrongBlobs = withStart(
    metrics.counter(
      'oras_csi_wrong_blobs_total',
      'Downloads that were begun anew at another host, since what came was not the blob. The log names the host.',
    ),
  )
  const evictions = metrics.counter(
    'oras_csi_evictions_total',
    'What was evicted from the store, by kind and by what for.',
  )
  const evictedBytes = metrics.counter(
    'oras_csi_evicted_bytes_total',
    'Bytes that were evicted from the store, by kind and by what for.',
  )
  return {
    metrics,
    observer: {
      pulled(code, bytes, seconds) {
        pulls.observe(seconds, { code })
        pulledBytes.add(bytes)
      },
      asked: (result) => asked.add(1, { result }),
      outage: () => outages.add(1),
      wrongBlob: () => wrongBlobs.add(1),
      published: timed(publishes),
      unpublished: timed(unpublishes),
      evicted({ kind, bytes }, reason) {
        evictions.add(1, { kind, reason })
        evictedBytes.add(bytes, { kind, reason })
      },
    },
  }
}

/** A series that is there from the start shows its first increase. */
function withStart(counter: Counter): Counter {
  counter.add(0)
  return counter
}

function timed(histogram: Histogram) {
  return (code: ResultCode, seconds: number) => histogram.observe(seconds, { code })
}

import type { Metrics } from '../../common/metrics.ts'
import type { WritableWatch } from '../volume/writable-watch.ts'

/** Adds what writable volumes hold, as of the last look at them. */
export function addWritableMetrics(
  metrics: Metrics,
  watch: Pick<WritableWatch, 'all' | 'limitBytes'>,
): void {
  metrics.gauge('oras_csi_writable_volumes', 'Writable volumes.', () => watch.all().length)
  metrics.gauge(
    'oras_csi_writable_bytes',
    'What pods have written in writable volumes, and what the store does not count.',
    () => watch.all().reduce((sum, { bytes }) => sum + bytes, 0),
  )
  metrics.gauge(
    'oras_csi_writable_volumes_over_limit',
    'Writable volumes that hold more than --max-writable-bytes.',
    () => watch.all().filter(({ bytes }) => bytes > watch.limitBytes).length,
  )
}

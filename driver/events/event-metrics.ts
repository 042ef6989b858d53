import type { Metrics } from '../../common/metrics.ts'

/** Why something was not told. */
export const DROP_REASONS = ['rate-limit', 'queue-full', 'refused', 'unavailable'] as const

export type DropReason = (typeof DROP_REASONS)[number]

/** Counts what becomes of events. */
export interface EventObserver {
  /** Created, or counted once more. */
  written(): void
  dropped(reason: DropReason): void
}

/** Adds how many events were written to pods, and how many were not. */
export function addEventMetrics(metrics: Metrics): EventObserver {
  const written = metrics.counter(
    'oras_csi_events_written_total',
    'Events that were written to pods, each time that one was counted once more as well.',
  )
  written.add(0)
  const dropped = metrics.counter(
    'oras_csi_events_dropped_total',
    'Events that were not written: too many for a pod or the node (rate-limit), too many waiting (queue-full), the API server refused (refused) or did not answer (unavailable).',
  )
  for (const reason of DROP_REASONS) dropped.add(0, { reason })
  return {
    written: () => written.add(1),
    dropped: (reason) => dropped.add(1, { reason }),
  }
}

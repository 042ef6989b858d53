import type { Metrics } from '../common/metrics.ts'
import type { ReviewResult } from './review-answer.ts'

/** Counts verdicts. */
export interface ReviewObserver {
  /** @param reason the code of a denial's or failure's error, else empty */
  reviewed(path: string, result: ReviewResult, reason: string): void
}

/** Counts what a server does. */
export interface ServerObserver {
  /**
   * A review's request has been answered, or its client was gone before.
   *
   * @param seconds since its head was read
   * @param isLate after the deadline that the client gave, or never
   */
  answered(path: string, seconds: number, isLate: boolean): void
  /** A request that came to no review, or a connection that could not be read. */
  refused(status: number): void
  /** A connection more than there may be. */
  dropped(): void
}

// A review takes a millisecond, half of that at best; the API server gives up after 1 to 30 s.
const REVIEW_BOUNDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
]

/**
 * Adds what a webhook tells Prometheus of its reviews and its server.
 *
 * @param options.paths of the endpoints; their series start with 0, so that the first review already shows in a rate
 */
export function addWebhookMetrics(
  metrics: Metrics,
  options: {
    readonly paths: readonly string[]
    readonly certificateExpires: () => Date
    readonly connections: () => Promise<number>
  },
): ReviewObserver & ServerObserver {
  const reviews = metrics.counter(
    'oras_csi_webhook_reviews_total',
    'Admission reviews by endpoint, result (allowed, patched, denied, or error: no verdict) and, for the last two, the code of the reason.',
  )
  const seconds = metrics.histogram(
    'oras_csi_webhook_review_duration_seconds',
    'How long admission reviews took, from the head of the request to the end of the answer.',
    REVIEW_BOUNDS,
  )
  const misses = metrics.counter(
    'oras_csi_webhook_deadline_misses_total',
    'Admission reviews that were not answered within the time-out that the request itself gave.',
  )
  const refusals = metrics.counter(
    'oras_csi_webhook_refused_requests_total',
    'HTTP requests that came to no review, by the status they were answered with.',
  )
  const drops = metrics.counter(
    'oras_csi_webhook_dropped_connections_total',
    'Connections that were closed to make room, since there were too many.',
  )
  drops.add(0)
  for (const endpoint of options.paths) {
    for (const result of ['allowed', 'patched'] as const) {
      reviews.add(0, { endpoint, result, reason: '' })
    }
    misses.add(0, { endpoint })
  }
  metrics.gauge('oras_csi_webhook_connections', 'Open connections.', options.connections)
  metrics.gauge(
    'oras_csi_webhook_certificate_expiration_timestamp_seconds',
    'When the serving certificate in use expires, in seconds since 1970.',
    () => options.certificateExpires().getTime() / 1_000,
  )
  return {
    reviewed: (endpoint, result, reason) => reviews.add(1, { endpoint, result, reason }),
    answered(endpoint, took, isLate) {
      seconds.observe(took, { endpoint })
      if (isLate) misses.add(1, { endpoint })
    },
    refused: (status) => refusals.add(1, { status: String(status) }),
    dropped: () => drops.add(1),
  }
}

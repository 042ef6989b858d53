import type { ApiClient } from '../../common/kubernetes/api-client.ts'
import type { Logger } from '../../common/log.ts'
import type { Metrics } from '../../common/metrics.ts'
import { addEventMetrics } from './event-metrics.ts'
import { type EventRecorder, NO_EVENTS, startEventRecorder } from './event-recorder.ts'
import { createEventWriter } from './event-writer.ts'

/** Starts to write events where there is an API server to write them to; what is counted is there in any case. */
export function openEvents(options: {
  readonly api: Pick<ApiClient, 'send'> | undefined
  readonly node: string
  readonly stack: AsyncDisposableStack
  readonly metrics: Metrics
  readonly log: Logger
}): EventRecorder {
  const { api, node, stack, metrics, log } = options
  const observer = addEventMetrics(metrics)
  if (api === undefined) return NO_EVENTS
  return stack.use(startEventRecorder({ writer: createEventWriter({ api, node }), observer, log }))
}

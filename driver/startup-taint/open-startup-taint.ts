import type { ApiClient } from '../../common/kubernetes/api-client.ts'
import type { Logger } from '../../common/log.ts'
import type { Metrics } from '../../common/metrics.ts'
import { createStartupTaint, type StartupTaint } from './startup-taint.ts'

/**
 * Makes what takes the startup taint off, where that is wanted and there is an API server, and adds whether the node still has it: also where nobody
 * can take it off, so that somebody hears of it.
 *
 * @param options.key of the taint; undefined where there is none
 */
export function openStartupTaint(options: {
  readonly api: ApiClient | undefined
  readonly key: string | undefined
  readonly node: string
  readonly stack: AsyncDisposableStack
  readonly metrics: Metrics
  readonly log: Logger
}): StartupTaint | undefined {
  const { api, key, node, stack, metrics, log } = options
  if (key === undefined) return undefined
  const taint = api && stack.use(createStartupTaint({ api, node, key, log }))
  metrics.gauge(
    'oras_csi_startup_taint',
    'Whether the node has its startup taint, as far as the driver knows: 1 until it has seen that it is gone.',
    () => (taint?.isGone ? 0 : 1),
  )
  return taint
}

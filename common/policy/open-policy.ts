import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Policy } from './policy.ts'
import { startPolicyFile } from './policy-file.ts'
import { addPolicyMetrics, type PolicyObserver } from './policy-metrics.ts'

/** An admin's policy in use. */
export interface OpenPolicy {
  /** As it is now: the file may have changed. */
  readonly current: () => Policy
  readonly observer: PolicyObserver
}

/**
 * Opens the policy file that an admin wants, with its metrics; the stack closes it.
 *
 * @returns undefined where no policy is wanted
 * @throws as {@link startPolicyFile}: nothing is to be served without a policy that is wanted
 */
export async function openPolicy(
  path: string | undefined,
  options: {
    readonly stack: AsyncDisposableStack
    readonly metrics: Metrics
    readonly log: Logger
  },
): Promise<OpenPolicy | undefined> {
  if (path === undefined) return undefined
  const { stack, metrics, log } = options
  const file = stack.use(await startPolicyFile({ path, log }))
  return { current: () => file.current.policy, observer: addPolicyMetrics(metrics, file) }
}

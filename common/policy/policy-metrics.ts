import type { Metrics } from '../metrics.ts'
import type { PolicyFile } from './policy-file.ts'

/** Counts what a policy denies. */
export interface PolicyObserver {
  /** @param rule its name; undefined for the default */
  denied(rule: string | undefined): void
}

/** Adds which policy is in force, whether its file can be read, and what it has denied. */
export function addPolicyMetrics(
  metrics: Metrics,
  file: Pick<PolicyFile, 'current' | 'status'>,
): PolicyObserver {
  metrics.gauge(
    'oras_csi_policy_info',
    'The policy in force, by the SHA-256 of its file; always 1. Driver and webhook should have the same.',
    () => [{ value: 1, labels: { sha256: file.current.sha256 } }],
  )
  metrics.gauge(
    'oras_csi_policy_last_load_success',
    'Whether the policy file as it stands is in force: 0 when it is missing or wrong, and the last good one is.',
    () => (file.status.isGood ? 1 : 0),
  )
  metrics.gauge(
    'oras_csi_policy_last_load_success_timestamp_seconds',
    'When the policy file was last read and found good.',
    () => file.status.loadedAtMs / 1_000,
  )
  const denials = metrics.counter(
    'oras_csi_policy_denials_total',
    'What the policy denied, by the name of the rule; empty for the default.',
  )
  denials.add(0, { rule: '' })
  return { denied: (rule = '') => denials.add(1, { rule }) }
}

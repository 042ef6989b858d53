/** How long what is known of a registry's word counts. */
export interface AccessRules {
  /** A proof of access that is older is made anew by one small request. */
  readonly maxAgeMs: number
  /** For how long a registry's refusal is remembered, for the same reference and credentials. */
  readonly refusalMs: number
  /**
   * How long a registry that does not answer is waited for where this node already has what a tag last meant for this caller. In an outage,
   * each start of such a pod takes no longer.
   */
  readonly patienceMs: number
}

/** What holds unless the admin says otherwise. */
export const DEFAULT_ACCESS_RULES: AccessRules = {
  // KEP-2535 had a recheck period of a day before it let records last for ever: a credential that was revoked should not open a node's
  // cache for longer, and an outage of the registry rarely lasts as long.
  maxAgeMs: 24 * 60 * 60 * 1_000,
  // Shorter than the kubelet's later tries are apart, long enough for fifty pods that start together.
  refusalMs: 10_000,
  // A registry in use answers a HEAD within a second.
  patienceMs: 10_000,
}

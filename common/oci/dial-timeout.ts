/** What may be a black hole must not hold a pod for long (containerd waits 30 s); those that are there answer within milliseconds. */
export const DEFAULT_DIAL_TIMEOUT_MS = 10_000

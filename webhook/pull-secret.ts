import { ANNOTATIONS, type Entry } from '../common/composition/composition.ts'
import { type Notice, warningAt } from '../common/composition/finding.ts'

/** The secret of entries that name none. */
export interface DefaultSecret {
  /** Absent: none. */
  readonly name?: string
  readonly warnings: readonly Notice[]
}

/**
 * Takes the pod's imagePullSecret for entries that name no secret, if there is exactly one.
 *
 * It is told to the user: the kubelet starts a pod whose imagePullSecret is missing, but holds one whose volume's secret is.
 */
export function defaultPullSecret(
  entries: readonly Entry[],
  imagePullSecrets: readonly string[],
): DefaultSecret {
  const [first] = imagePullSecrets
  if (first === undefined || entries.every(({ pullSecret }) => pullSecret !== undefined)) {
    return { warnings: [] }
  }
  if (imagePullSecrets.length > 1) {
    const text = `Took none of ${imagePullSecrets.length} imagePullSecrets: name one in ${ANNOTATIONS.pullSecret} ("" for none)`
    return { warnings: [warningAt({}, text)] }
  }
  const text = `Took imagePullSecret "${first}" (else see ${ANNOTATIONS.pullSecret}); the pod waits while it is missing`
  return { name: first, warnings: [warningAt({}, text)] }
}

import type { Composition } from '../common/composition/composition.ts'
import { faultAt } from '../common/composition/finding.ts'
import { decide } from '../common/policy/decide.ts'
import type { OpenPolicy } from '../common/policy/open-policy.ts'

/**
 * Holds what a pod asks for against the admin's policy, by the driver's own rules and in its words. Early only: sizes are not known yet, and
 * a volume that is written by hand does not pass here; the driver asks again.
 */
export interface AdmissionPolicy {
  /**
   * @param namespace of the request; undefined is treated as one that is not known
   * @throws DENIED naming the rule and what would be allowed, for the first entry that is denied
   */
  check(composition: Pick<Composition, 'entries'>, namespace: string | undefined): void
}

export function createAdmissionPolicy(options: OpenPolicy): AdmissionPolicy {
  return {
    check({ entries }, namespace) {
      const policy = options.current()
      for (const { reference, readOnly, place } of entries) {
        const decision = decide(policy, {
          ...{ namespace: namespace || undefined, reference, writable: !readOnly },
          // Annotations cannot ask for these.
          ...{ plainHttp: false, insecureTls: false },
        })
        if (decision.effect === 'allow') continue
        options.observer.denied(decision.rule?.name)
        throw faultAt('DENIED', place, decision.message)
      }
    },
  }
}

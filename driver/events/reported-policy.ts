import { isCodedError } from '../../common/errors.ts'
import type { LeasePod } from '../store/leases.ts'
import type { AdminPolicy } from '../volume/admin-policy.ts'
import type { VolumePolicy } from '../volume/publisher.ts'
import type { EventRecorder } from './event-recorder.ts'
import { cutMessage } from './pod-event.ts'

/**
 * A policy whose denials the pod is told of under a reason of their own. The kubelet says them too, as one FailedMount among others; this one can be
 * looked for: `kubectl get events --field-selector reason=DeniedArtifact`.
 */
export function reportAdminPolicy(policy: AdminPolicy, recorder: EventRecorder): AdminPolicy {
  return {
    admit(volume) {
      const told = <T>(decide: () => T): T => {
        try {
          return decide()
        } catch (error) {
          tell(recorder, volume.pod, error)
          throw error
        }
      }
      const content = told(() => policy.admit(volume))
      return {
        checkManifest: (source, resolved) => told(() => content.checkManifest(source, resolved)),
        checkTree: (source, tree) => told(() => content.checkTree(source, tree)),
      }
    },
  }
}

/** The same for what the configuration of registries does not allow. */
export function reportVolumePolicy(policy: VolumePolicy, recorder: EventRecorder): VolumePolicy {
  return {
    async check(volume) {
      try {
        await policy.check(volume)
      } catch (error) {
        tell(recorder, volume.pod, error)
        throw error
      }
    },
  }
}

function tell(recorder: EventRecorder, pod: LeasePod, error: unknown): void {
  if (!isCodedError(error, 'DENIED')) return
  // Kept for a while to tell whether it is the same again.
  const message = cutMessage(error.message)
  recorder.record({ pod, type: 'Warning', reason: 'DeniedArtifact', subject: message, message })
}

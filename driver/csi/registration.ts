import type { UntypedServiceImplementation } from '@grpc/grpc-js'
import { DRIVER_NAME } from '../../common/composition/composition.ts'
import { CodedError } from '../../common/errors.ts'
import type { Empty, RegistrationInfo, RegistrationStatus } from './messages.ts'
import { type UnaryOptions, unary } from './unary.ts'

/** The version of the CSI the kubelet is told; it wants a major version it knows. */
const SUPPORTED_VERSIONS = ['1.0.0'] as const

/**
 * `pluginregistration.Registration`: the kubelet's plugin watcher finds its socket, asks who this is and where to reach it, and says
 * whether it will use it.
 */
export function registrationService(
  options: UnaryOptions & {
    /** The CSI socket's path as the kubelet sees it. */
    readonly endpoint: string
    readonly onRegistered: () => void
    /** The kubelet refused: only a new start of this process makes it ask again. */
    readonly onRefused: (error: CodedError) => void
  },
): UntypedServiceImplementation {
  return {
    GetInfo: unary<Empty, RegistrationInfo>(options, 'GetInfo', async () => ({
      type: 'CSIPlugin',
      name: DRIVER_NAME,
      endpoint: options.endpoint,
      supported_versions: SUPPORTED_VERSIONS,
    })),
    NotifyRegistrationStatus: unary<RegistrationStatus, Empty>(
      options,
      'NotifyRegistrationStatus',
      async ({ plugin_registered, error }) => {
        if (plugin_registered) options.onRegistered()
        else {
          options.onRefused(
            new CodedError('UNAVAILABLE', `The kubelet refused the registration: ${error}`),
          )
        }
        return {}
      },
    ),
  }
}

import type { UntypedServiceImplementation } from '@grpc/grpc-js'
import { DRIVER_NAME } from '../../common/composition/composition.ts'
import type { Empty, PluginCapabilities, PluginInfo, Probe } from './messages.ts'
import { type UnaryOptions, unary } from './unary.ts'

/** `csi.v1.Identity`: who this is. No capabilities: a node driver without a controller. */
export function identityService(
  options: UnaryOptions & { readonly version: string; readonly isReady: () => boolean },
): UntypedServiceImplementation {
  return {
    GetPluginInfo: unary<Empty, PluginInfo>(options, 'GetPluginInfo', async () => ({
      name: DRIVER_NAME,
      vendor_version: options.version,
    })),
    GetPluginCapabilities: unary<Empty, PluginCapabilities>(
      options,
      'GetPluginCapabilities',
      async () => ({ capabilities: [] }),
    ),
    Probe: unary<Empty, Probe>(options, 'Probe', async () => ({
      ready: { value: options.isReady() },
    })),
  }
}

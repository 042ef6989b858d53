import { createHash } from 'node:crypto'
import {
  type handleUnaryCall,
  type ServiceError,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'

interface VolumeMessage {
  readonly capacity_bytes: string
  readonly volume_id: string
  readonly volume_context: Readonly<Record<string, string>>
}

interface CreateVolumeRequest {
  readonly name: string
  readonly capacity_range: { readonly required_bytes: string } | null
  readonly volume_capabilities: readonly object[]
}

interface VolumeRequest {
  readonly volume_id: string
  readonly volume_capabilities: readonly object[]
}

/**
 * Makes a controller that provisions nothing: a volume is a name with the attributes that a pod's inline volume has, so that
 * csi-sanity, which knows no inline volumes, can publish it.
 *
 * @param volumeContext what every volume's publish request is to hold
 */
export function fakeController(
  volumeContext: Readonly<Record<string, string>>,
): UntypedServiceImplementation {
  const volumes = new Map<string, VolumeMessage>()
  return {
    ControllerGetCapabilities: unary(() => ({
      capabilities: [{ rpc: { type: 'CREATE_DELETE_VOLUME' } }],
    })),
    CreateVolume: unary(({ name, capacity_range, volume_capabilities }: CreateVolumeRequest) => {
      if (name === '') throw refusal(status.INVALID_ARGUMENT, 'Missing name')
      if (volume_capabilities.length === 0) {
        throw refusal(status.INVALID_ARGUMENT, 'Missing volume_capabilities')
      }
      const volume: VolumeMessage = {
        capacity_bytes: capacity_range?.required_bytes ?? '0',
        volume_id: `csi-${createHash('sha256').update(name).digest('hex')}`,
        volume_context: volumeContext,
      }
      const before = volumes.get(volume.volume_id)
      if (before !== undefined && before.capacity_bytes !== volume.capacity_bytes) {
        throw refusal(status.ALREADY_EXISTS, `Volume "${name}" has another capacity`)
      }
      volumes.set(volume.volume_id, volume)
      return { volume }
    }),
    DeleteVolume: unary(({ volume_id }: VolumeRequest) => {
      if (volume_id === '') throw refusal(status.INVALID_ARGUMENT, 'Missing volume_id')
      volumes.delete(volume_id)
      return {}
    }),
    ValidateVolumeCapabilities: unary(({ volume_id, volume_capabilities }: VolumeRequest) => {
      if (volume_id === '' || volume_capabilities.length === 0) {
        throw refusal(status.INVALID_ARGUMENT, 'Missing volume_id or volume_capabilities')
      }
      if (!volumes.has(volume_id)) throw refusal(status.NOT_FOUND, `No volume "${volume_id}"`)
      return { confirmed: { volume_context: volumeContext, volume_capabilities } }
    }),
  }
}

function unary<Request>(answer: (request: Request) => object): handleUnaryCall<Request, object> {
  return (call, callback) => {
    try {
      callback(null, answer(call.request))
    } catch (error) {
      callback(isRefusal(error) ? error : refusal(status.INTERNAL, String(error)))
    }
  }
}

type Refusal = Error & Pick<ServiceError, 'code' | 'details'>

function refusal(code: status, details: string): Refusal {
  return Object.assign(new Error(details), { code, details })
}

function isRefusal(error: unknown): error is Refusal {
  return error instanceof Error && 'code' in error && 'details' in error
}

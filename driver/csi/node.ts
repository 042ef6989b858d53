import type { UntypedServiceImplementation } from '@grpc/grpc-js'
import { CodedError } from '../../common/errors.ts'
import type { Publisher } from '../volume/publisher.ts'
import { parseTargetPath } from '../volume/volume.ts'
import type {
  Empty,
  NodeGetCapabilitiesResponse,
  NodeGetInfoResponse,
  NodeGetVolumeStatsRequest,
  NodeGetVolumeStatsResponse,
  NodePublishVolumeRequest,
  NodeUnpublishVolumeRequest,
} from './messages.ts'
import { type UnaryOptions, unary } from './unary.ts'

/** `csi.v1.Node`: turns messages into plain values and back; everything else is the publisher's. */
export function nodeService(
  options: UnaryOptions & { readonly publisher: Publisher; readonly nodeId: string },
): UntypedServiceImplementation {
  const { publisher, nodeId } = options
  return {
    NodePublishVolume: unary<NodePublishVolumeRequest, Empty>(
      options,
      'NodePublishVolume',
      async (request, { signal }) => {
        const publish = {
          volumeId: request.volume_id,
          targetPath: request.target_path,
          accessType: request.volume_capability?.access_type,
          readOnly: request.readonly,
          volumeContext: request.volume_context,
          secrets: request.secrets,
        }
        await publisher.publish(publish, signal)
        return {}
      },
      describePublish,
    ),

    NodeUnpublishVolume: unary<NodeUnpublishVolumeRequest, Empty>(
      options,
      'NodeUnpublishVolume',
      async (request, { signal }) => {
        if (request.volume_id === '') throw new CodedError('INVALID', 'Missing volume_id')
        const target = parseTargetPath(request.target_path, 'target_path')
        await publisher.unpublish(request.volume_id, target, signal)
        return {}
      },
      ({ volume_id, target_path }) => ({ volume: volume_id, target: target_path }),
    ),

    NodeGetVolumeStats: unary<NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse>(
      options,
      'NodeGetVolumeStats',
      async (request) => {
        if (request.volume_id === '') throw new CodedError('INVALID', 'Missing volume_id')
        if (request.volume_path === '') throw new CodedError('INVALID', 'Missing volume_path')
        const { bytes, inodes } = await publisher.usage(request.volume_id, request.volume_path)
        return {
          usage: [
            { unit: 'BYTES', ...bytes },
            ...(inodes === undefined ? [] : [{ unit: 'INODES' as const, ...inodes }]),
          ],
        }
      },
      ({ volume_id }) => ({ volume: volume_id }),
    ),

    NodeGetCapabilities: unary<Empty, NodeGetCapabilitiesResponse>(
      options,
      'NodeGetCapabilities',
      async () => ({ capabilities: [{ rpc: { type: 'GET_VOLUME_STATS' } }] }),
    ),

    NodeGetInfo: unary<Empty, NodeGetInfoResponse>(options, 'NodeGetInfo', async () => ({
      node_id: nodeId,
    })),
  }
}

/** Of a list of sources that a user may have made long. */
const MAX_LOGGED = 500

/** Never the whole request: it holds secrets. */
function describePublish({ volume_id, target_path, volume_context }: NodePublishVolumeRequest) {
  return {
    volume: volume_id,
    target: target_path,
    pod: `${volume_context['csi.storage.k8s.io/pod.namespace']}/${volume_context['csi.storage.k8s.io/pod.name']}`,
    reference: volume_context['oras.artifact.reference'],
    sources: volume_context['oras.sources']?.slice(0, MAX_LOGGED),
  }
}

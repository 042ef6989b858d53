import { createHash } from 'node:crypto'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type GrpcCallOptions, grpcCaller } from './grpc-client.ts'
import { poll } from './poll.ts'

/** A pod as far as the kubelet tells a driver of it. */
export interface KubeletPod {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  /** Default `default`. */
  readonly serviceAccountName?: string
}

/** `csi.v1.NodePublishVolumeRequest` */
export interface PublishRequest {
  readonly volume_id: string
  readonly target_path: string
  readonly staging_target_path?: string
  readonly volume_capability: {
    readonly mount?: { readonly fs_type: string }
    readonly block?: object
    readonly access_mode: { readonly mode: string }
  }
  readonly readonly: boolean
  readonly secrets: Readonly<Record<string, string>>
  readonly volume_context: Readonly<Record<string, string>>
}

/** `csi.v1.NodeUnpublishVolumeRequest` */
export interface UnpublishRequest {
  readonly volume_id: string
  readonly target_path: string
}

/** `csi.v1.VolumeUsage` */
export interface VolumeUsage {
  readonly available: number
  readonly total: number
  readonly used: number
  readonly unit: 'UNKNOWN' | 'BYTES' | 'INODES'
}

/** A driver as the kubelet calls it: a new connection for each call. Failures are grpc-js ServiceErrors with `code` and `details`. */
export interface CsiClient {
  getPluginInfo(options?: GrpcCallOptions): Promise<{
    readonly name: string
    readonly vendor_version: string
    readonly manifest: Readonly<Record<string, string>>
  }>
  getPluginCapabilities(
    options?: GrpcCallOptions,
  ): Promise<{ readonly capabilities: readonly object[] }>
  probe(options?: GrpcCallOptions): Promise<{ readonly ready: { readonly value: boolean } | null }>
  nodeGetInfo(
    options?: GrpcCallOptions,
  ): Promise<{ readonly node_id: string; readonly max_volumes_per_node: number }>
  nodeGetCapabilities(options?: GrpcCallOptions): Promise<{
    readonly capabilities: readonly { readonly rpc: { readonly type: string } }[]
  }>
  nodePublishVolume(request: PublishRequest, options?: GrpcCallOptions): Promise<object>
  /** Sends the id and target path only, of whatever it is given. */
  nodeUnpublishVolume(request: UnpublishRequest, options?: GrpcCallOptions): Promise<object>
  nodeGetVolumeStats(
    request: { readonly volume_id: string; readonly volume_path: string },
    options?: GrpcCallOptions,
  ): Promise<{ readonly usage: readonly VolumeUsage[] }>
}

const CSI_PROTO = new URL('../../driver/csi/csi.proto', import.meta.url)
const REGISTRATION_PROTO = new URL('../../driver/csi/registration.proto', import.meta.url)

/** Calls the driver behind a socket (absolute path). */
export function csiClient(socketPath: string): CsiClient {
  const identity = grpcCaller(CSI_PROTO, 'csi.v1.Identity', socketPath)
  const node = grpcCaller(CSI_PROTO, 'csi.v1.Node', socketPath)
  return {
    getPluginInfo: (options) => identity('GetPluginInfo', {}, options),
    getPluginCapabilities: (options) => identity('GetPluginCapabilities', {}, options),
    probe: (options) => identity('Probe', {}, options),
    nodeGetInfo: (options) => node('NodeGetInfo', {}, options),
    nodeGetCapabilities: (options) => node('NodeGetCapabilities', {}, options),
    nodePublishVolume: (request, options) => node('NodePublishVolume', request, options),
    nodeUnpublishVolume: ({ volume_id, target_path }, options) =>
      node('NodeUnpublishVolume', { volume_id, target_path }, options),
    nodeGetVolumeStats: (request, options) => node('NodeGetVolumeStats', request, options),
  }
}

/**
 * Makes the request that the kubelet sends for one inline volume of a pod, after making the pod's directories and the parent of the target path (0750), and
 * not the target, as it does. The same pod and volume name give the same request.
 */
export async function publishRequest(options: {
  /** e.g. `/var/lib/kubelet`; absolute. */
  readonly kubeletDir: string
  readonly pod: KubeletPod
  readonly volumeName: string
  /** `volumes[].csi.volumeAttributes` */
  readonly attributes: Readonly<Record<string, string>>
  /** The data of the secret that `nodePublishSecretRef` names, decoded. */
  readonly secret?: Readonly<Record<string, string>>
  /** `volumes[].csi.readOnly` */
  readonly readOnly?: boolean
}): Promise<PublishRequest> {
  const { pod, volumeName } = options
  const directory = join(options.kubeletDir, 'pods', pod.uid)
  const parent = join(directory, 'volumes/kubernetes.io~csi', volumeName)
  await mkdir(parent, { recursive: true, mode: 0o750 })
  await mkdir(join(directory, 'plugins'), { recursive: true, mode: 0o750 })
  return {
    volume_id: `csi-${createHash('sha256').update(`${pod.uid}${volumeName}`).digest('hex')}`,
    target_path: join(parent, 'mount'),
    volume_capability: { mount: { fs_type: '' }, access_mode: { mode: 'SINGLE_NODE_WRITER' } },
    readonly: options.readOnly ?? false,
    secrets: options.secret ?? {},
    volume_context: {
      ...options.attributes,
      'csi.storage.k8s.io/ephemeral': 'true',
      'csi.storage.k8s.io/pod.name': pod.name,
      'csi.storage.k8s.io/pod.namespace': pod.namespace,
      'csi.storage.k8s.io/pod.uid': pod.uid,
      'csi.storage.k8s.io/serviceAccount.name': pod.serviceAccountName ?? 'default',
    },
  }
}

/** A driver that the kubelet has accepted. */
export interface Registered {
  readonly driverName: string
  readonly nodeId: string
  /** The endpoint that the driver named. */
  readonly socketPath: string
  readonly csi: CsiClient
}

/**
 * Registers the driver whose socket appears in the directory, as the kubelet's plugin watcher does: `GetInfo` within a second,
 * version check, `NodeGetInfo` on the endpoint it names, `NotifyRegistrationStatus`.
 *
 * @throws when no socket appears, and, after telling the driver, when it is not acceptable or `refuse` says so
 * @see https://github.com/kubernetes/kubernetes/tree/v1.36.0/pkg/kubelet/pluginmanager
 */
export async function register(
  pluginsRegistryDir: string,
  options: {
    readonly deadlineMs?: number
    /** Refuses the driver with this error. */
    readonly refuse?: string
  } = {},
): Promise<Registered> {
  const socket = await poll(
    async () => (await readdir(pluginsRegistryDir)).find((name) => name.endsWith('.sock')),
    {
      deadlineMs: options.deadlineMs ?? SOCKET_DEADLINE_MS,
      what: `a registration socket in ${pluginsRegistryDir}`,
    },
  )
  const registration = grpcCaller(
    REGISTRATION_PROTO,
    'pluginregistration.Registration',
    join(pluginsRegistryDir, socket),
  )
  // The kubelet comes again when there is no answer in time, e.g. on a machine that is busy with other tests.
  const info = await poll(
    () => registration<PluginInfo>('GetInfo', {}, { deadlineMs: GET_INFO_DEADLINE_MS }),
    { deadlineMs: options.deadlineMs ?? SOCKET_DEADLINE_MS, what: 'an answer to GetInfo' },
  )
  try {
    const csi = csiClient(info.endpoint)
    validate(info)
    if (options.refuse !== undefined) throw new Error(options.refuse)
    const { node_id } = await csi.nodeGetInfo()
    await registration('NotifyRegistrationStatus', { plugin_registered: true })
    return { driverName: info.name, nodeId: node_id, socketPath: info.endpoint, csi }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    await registration('NotifyRegistrationStatus', { plugin_registered: false, error: message })
    throw error
  }
}

interface PluginInfo {
  readonly type: string
  readonly name: string
  readonly endpoint: string
  readonly supported_versions: readonly string[]
}

/** The kubelet waits for ever; a process that starts on a busy machine may take its time. */
const SOCKET_DEADLINE_MS = 60_000
// The kubelet's own limit of GetInfo, in operationexecutor.
const GET_INFO_DEADLINE_MS = 1_000

/** What the kubelet checks before it calls the driver. */
function validate(info: PluginInfo): void {
  if (info.type !== 'CSIPlugin') throw new Error(`no handler registered for type: ${info.type}`)
  if (info.name === '' || info.endpoint === '') throw new Error('name or endpoint is empty')
  if (!info.supported_versions.some((version) => /^v?1\.[0-9]+\.[0-9]+$/.test(version))) {
    throw new Error(`none of the versions is supported: ${info.supported_versions.join(', ')}`)
  }
}

/**
 * The messages of csi.proto and registration.proto as proto-loader hands them over with `defaults: true`: every field of a request is
 * there, and a `oneof` names in its own field which of its members is.
 */

export interface PluginInfo {
  readonly name: string
  readonly vendor_version: string
}

export interface PluginCapabilities {
  readonly capabilities: readonly { readonly service: { readonly type: string } }[]
}

export interface Probe {
  readonly ready: { readonly value: boolean }
}

export interface NodePublishVolumeRequest {
  readonly volume_id: string
  readonly target_path: string
  readonly volume_capability: {
    readonly access_type?: 'mount' | 'block'
    readonly access_mode: { readonly mode: string } | null
  } | null
  readonly readonly: boolean
  readonly secrets: Readonly<Record<string, string>>
  readonly volume_context: Readonly<Record<string, string>>
}

export interface NodeUnpublishVolumeRequest {
  readonly volume_id: string
  readonly target_path: string
}

export interface NodeGetVolumeStatsRequest {
  readonly volume_id: string
  readonly volume_path: string
}

export interface NodeGetVolumeStatsResponse {
  readonly usage: readonly {
    readonly available: number
    readonly total: number
    readonly used: number
    readonly unit: 'BYTES' | 'INODES'
  }[]
}

export interface NodeGetCapabilitiesResponse {
  readonly capabilities: readonly { readonly rpc: { readonly type: string } }[]
}

export interface NodeGetInfoResponse {
  readonly node_id: string
}

export type Empty = Readonly<Record<string, never>>

/** `pluginregistration.PluginInfo` */
export interface RegistrationInfo {
  readonly type: string
  readonly name: string
  readonly endpoint: string
  readonly supported_versions: readonly string[]
}

export interface RegistrationStatus {
  readonly plugin_registered: boolean
  readonly error: string
}

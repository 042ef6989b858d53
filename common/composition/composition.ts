import type { Reference } from '../oci/reference.ts'

/** When a registry is asked, as the kubelet means it for images. */
export type PullPolicy = 'Always' | 'IfNotPresent' | 'Never'

/** The pod annotations that belong to oras-csi. */
export const ANNOTATIONS = {
  artifacts: 'oras.land/artifacts',
  pullSecret: 'oras.land/pull-secret',
  pullPolicy: 'oras.land/pull-policy',
  containers: 'oras.land/containers',
  status: 'oras.land/status',
} as const

export const ANNOTATION_PREFIX = 'oras.land/'

/** The name under which the kubelet knows the node driver. */
export const DRIVER_NAME = 'csi.oras.land'

/** Which containers an entry is mounted in. */
export interface ContainerSelector {
  /** A container's name, or a glob with `*`. */
  readonly pattern: string
  /** Matches init containers (`init:NAME`) instead of regular ones. */
  readonly init: boolean
  /** `NAME?`: no error when nothing matches. */
  readonly optional: boolean
}

/** One artifact, where it is mounted, and in which containers. */
export interface Entry {
  /** Where it stands in the annotation, for messages: `oras.land/artifacts[0]` or `oras.land/artifacts["/app"]`. */
  readonly place: string
  readonly reference: Reference
  /** Absolute, clean path. */
  readonly mountPath: string
  /** Names the volume; derived from the mount path when absent. */
  readonly name?: string
  /** Absent: every regular container except known mesh sidecars. */
  readonly containers?: readonly ContainerSelector[]
  /** Relative, clean path of a file or directory of the volume. */
  readonly subPath?: string
  readonly pullPolicy?: PullPolicy
  /** A secret's name; empty for none; absent: the pod's default. */
  readonly pullSecret?: string
  readonly readOnly: boolean
}

/** What one pod's annotations ask for. */
export interface Composition {
  readonly entries: readonly Entry[]
  /** Things to tell the user that do not stop the pod; at most 120 characters each. */
  readonly warnings: readonly string[]
}

/** The driver's half of an entry. */
export interface Source {
  readonly reference: Reference
  /** Absent: `Always` for `:latest`, else `IfNotPresent`. */
  readonly pullPolicy?: PullPolicy
}

/** What the driver is told about one volume: the decoded volume attributes. */
export interface VolumeSpec {
  /** One or more, in order: a later one's files replace an earlier one's. */
  readonly sources: readonly Source[]
  /** The subPaths that mounts of this volume use. */
  readonly subPaths: readonly string[]
  /** Upper bound of parallel downloads for this volume; absent: the driver's. */
  readonly concurrency?: number
  /** The pod asks for plain HTTP, which only the admin's configuration of that registry can grant. */
  readonly plainHttp: boolean
  /** The pod asks for unverified TLS, which only the admin's configuration of that registry can grant. */
  readonly insecure: boolean
}

/** Applied by webhook and driver alike. */
export const LIMITS = {
  entriesPerPod: 32,
  sourcesPerVolume: 32,
  annotationBytes: 32 * 1024,
  attributeBytesPerVolume: 16 * 1024,
} as const

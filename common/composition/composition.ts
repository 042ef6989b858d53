import type { Platform } from '../oci/descriptor.ts'
import type { Reference } from '../oci/reference.ts'
import type { Notice, Place } from './finding.ts'

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
  /** Where it is written, for messages. */
  readonly place?: Place
}

/** What an entry asks for one environment variable of its containers. */
export type EnvRule = EnvValue | EnvPart

/** A variable that is set where the container does not set it. */
export interface EnvValue {
  readonly kind: 'value'
  readonly place: Place
  readonly name: string
  readonly value: string
}

/** A part that is joined to what the variable holds. */
export interface EnvPart {
  readonly kind: 'append' | 'prepend'
  readonly place: Place
  readonly name: string
  /** Not empty. */
  readonly part: string
  /** Not empty; stands between the parts. */
  readonly separator: string
  /** What the part is joined to where the container does not set the variable; empty: nothing. Absent: that is refused. */
  readonly base?: string
}

/** Whether archives are unpacked: where the artifact means it, wherever one is found, or nowhere. */
export type Unpack = 'auto' | 'always' | 'never'

/** What becomes of the permission bits of unpacked files. */
export type Modes = 'readable' | 'keep'

/** Which layers and files of an artifact are wanted. A layer must pass every field there is; at least one is. */
export interface Selection {
  /** Layers of one of these types: `application/java-archive`, or with `*`, e.g. `text/*`. Letter case does not count. */
  readonly mediaTypes?: readonly string[]
  /** Layers that have all of these annotations, each with a value that one of its globs (`*` only) matches. */
  readonly annotations?: Readonly<Record<string, readonly string[]>>
  /** Files by their path in the artifact, gitignore style. @see createFileFilter */
  readonly files?: readonly string[]
}

/** One artifact of a volume: the driver's half of an entry. */
export interface Source {
  readonly reference: Reference
  /** Absent: `Always` for `:latest`, else `IfNotPresent`. */
  readonly pullPolicy?: PullPolicy
  /** Absent: everything. */
  readonly select?: Selection
  /** Relative, clean path of the directory of the volume that the artifact is placed in; absent: the volume's root. */
  readonly path?: string
  /** Absent: the node's. */
  readonly platform?: Platform
  /** Absent: `auto`. */
  readonly unpack?: Unpack
  /** Absent: `readable`. */
  readonly modes?: Modes
}

/** One artifact, where it is mounted, and in which containers. */
export interface Entry extends Source {
  /** Where it stands in the annotation: `oras.land/artifacts[0]` or `oras.land/artifacts["/app"]`. */
  readonly place: Place
  /** Absolute, clean path. */
  readonly mountPath: string
  /** Names the volume; derived from the mount path when absent. */
  readonly name?: string
  /** Absent: every regular container except known mesh sidecars. */
  readonly containers?: readonly ContainerSelector[]
  /** Relative, clean path of a file or directory of the volume. */
  readonly subPath?: string
  /** A secret's name; empty for none; absent: the pod's default. */
  readonly pullSecret?: string
  readonly readOnly: boolean
  /** Set in the same containers, in the order written. */
  readonly env?: readonly EnvRule[]
}

/** The driver's half of an entry; what is absent there is absent here. */
export function sourceOf(
  entry: { readonly [K in keyof Source]: Source[K] | undefined } & Pick<Source, 'reference'>,
): Source {
  const { reference, pullPolicy, select, path, platform, unpack, modes } = entry
  return {
    reference,
    ...(pullPolicy && { pullPolicy }),
    ...(select && { select }),
    ...(path !== undefined && { path }),
    ...(platform && { platform }),
    ...(unpack && { unpack }),
    ...(modes && { modes }),
  }
}

/** What one pod's annotations ask for. */
export interface Composition {
  readonly entries: readonly Entry[]
  /** Things to tell the user that do not stop the pod. */
  readonly warnings: readonly Notice[]
}

/** What the driver is told about one volume: the decoded volume attributes. */
export interface VolumeSpec {
  /** One or more, in order: a later one's files replace an earlier one's. */
  readonly sources: readonly Source[]
  /** The subPaths that mounts of this volume use. */
  readonly subPaths: readonly string[]
  /** A private copy-on-write view; absent: read-only. */
  readonly writable?: boolean
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
  /** Of mounts, and of variables, that entries ask for in all containers together: half a megabyte. An API server stores one and a half. */
  additionsPerPod: 8192,
  sourcesPerVolume: 32,
  annotationBytes: 32 * 1024,
  attributeBytesPerVolume: 16 * 1024,
  /** Of each list of a selection. With the longest globs and titles there can be, matching takes a second, not minutes. */
  globsPerList: 64,
  globLength: 256,
} as const

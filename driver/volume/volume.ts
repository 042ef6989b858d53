import { createHash } from 'node:crypto'
import { isAbsolute, normalize } from 'node:path'
import { ATTRIBUTES } from '../../common/composition/attribute-name.ts'
import { decodeAttributes } from '../../common/composition/attributes.ts'
import type { VolumeSpec } from '../../common/composition/composition.ts'
import { CodedError } from '../../common/errors.ts'
import { type Keyring, keyringOf } from '../../common/oci/credentials.ts'
import { didYouMean } from '../../common/suggest.ts'
import type { LeasePod } from '../store/leases.ts'

/** What the kubelet asks to be published, as plain data. */
export interface PublishRequest {
  readonly volumeId: string
  readonly targetPath: string
  readonly accessType: 'mount' | 'block' | undefined
  readonly readOnly: boolean
  readonly volumeContext: Readonly<Record<string, string>>
  /** Of the volume's nodePublishSecretRef. */
  readonly secrets: Readonly<Record<string, string>>
}

/** What tells a volume, and a repeated request from a different one, without reading what was asked for. */
export interface VolumeIdentity {
  readonly id: string
  readonly target: string
  /** Of everything that decides what is mounted where; equal for a repeated request. Without secrets: they rotate. */
  readonly requestHash: string
}

/** One volume of one pod, checked. */
export interface Volume extends VolumeIdentity {
  readonly pod: LeasePod
  readonly spec: VolumeSpec
  readonly keyring: Keyring
}

/** Keys the kubelet adds to the attributes; nobody else may. */
const KUBELET_PREFIX = 'csi.storage.k8s.io/'
const KUBELET_KEYS = [
  'csi.storage.k8s.io/ephemeral',
  'csi.storage.k8s.io/pod.name',
  'csi.storage.k8s.io/pod.namespace',
  'csi.storage.k8s.io/pod.uid',
  'csi.storage.k8s.io/serviceAccount.name',
  'csi.storage.k8s.io/serviceAccount.tokens',
] as const

/** Target paths longer than this cannot be mounted. @see limits.h */
const PATH_MAX = 4095

/**
 * Reads just enough of a request to find what is published already. Attributes and secrets are not looked at: a running pod's volume is
 * answered for even when this driver would refuse them today. Pure.
 *
 * @throws INVALID for a missing id, or a target that nothing can be mounted at
 */
export function identifyVolume(request: PublishRequest): VolumeIdentity {
  if (request.volumeId === '') throw new CodedError('INVALID', 'Missing volume_id')
  const target = parseTargetPath(request.targetPath, 'target_path')
  const attributes = Object.entries(request.volumeContext).filter(
    ([key]) => !key.startsWith(KUBELET_PREFIX),
  )
  return {
    id: request.volumeId,
    target,
    requestHash: hashRequest(target, request.readOnly, attributes),
  }
}

/**
 * Turns a request into a volume. Pure.
 *
 * @throws INVALID saying which attribute is wrong and how
 */
export function parseVolume(request: PublishRequest): Volume {
  const identity = identifyVolume(request)
  if (request.accessType === undefined) throw new CodedError('INVALID', 'Missing volume_capability')
  if (request.accessType === 'block') {
    throw new CodedError(
      'INVALID',
      'Invalid volume_capability: block; artifacts are mounted as files',
    )
  }
  const { kubelet, attributes } = splitContext(request.volumeContext)
  const spec = decodeAttributes(attributes)
  if (spec.writable === true && request.readOnly) {
    throw new CodedError(
      'INVALID',
      `Cannot make the volume writable as "${ATTRIBUTES.writable}" says: the pod's "csi" volume has "readOnly: true"; expected one of them only`,
    )
  }
  const namespace = kubelet.get('csi.storage.k8s.io/pod.namespace') ?? ''
  return {
    ...identity,
    pod: {
      namespace,
      name: kubelet.get('csi.storage.k8s.io/pod.name') ?? '',
      uid: kubelet.get('csi.storage.k8s.io/pod.uid') ?? '',
    },
    spec,
    keyring: keyringOf(request.secrets, { label: 'secret of the volume', namespace }),
  }
}

/** @throws INVALID when `path` is no absolute, clean path that can be mounted at */
export function parseTargetPath(path: string, field: string): string {
  if (path === '') throw new CodedError('INVALID', `Missing ${field}`)
  const clean = normalize(path).replace(/\/$/, '')
  const fault = !isAbsolute(path)
    ? 'expected an absolute path'
    : clean === ''
      ? 'the root directory is no target'
      : clean !== path.replace(/\/$/, '')
        ? `expected a clean path: "${clean}"`
        : Buffer.byteLength(path) > PATH_MAX || path.includes('\0')
          ? `expected at most ${PATH_MAX} bytes without NUL`
          : undefined
  if (fault !== undefined) {
    throw new CodedError(
      'INVALID',
      `Invalid ${field} ${JSON.stringify(path.slice(0, 200))}: ${fault}`,
    )
  }
  return clean
}

function splitContext(context: Readonly<Record<string, string>>) {
  const kubelet = new Map<string, string>()
  const attributes: Record<string, string> = {}
  for (const [key, value] of Object.entries(context)) {
    if (!key.startsWith(KUBELET_PREFIX)) {
      attributes[key] = value
    } else if (KUBELET_KEYS.some((known) => known === key)) {
      kubelet.set(key, value)
    } else {
      throw new CodedError(
        'INVALID',
        `Unknown volume attribute "${key}"${didYouMean(key, KUBELET_KEYS)}`,
      )
    }
  }
  if (kubelet.get('csi.storage.k8s.io/ephemeral') !== 'true') {
    throw new CodedError(
      'INVALID',
      'Not an inline volume: expected a pod\'s "csi" volume and the CSIDriver object with podInfoOnMount: true and volumeLifecycleModes: [Ephemeral]',
    )
  }
  return { kubelet, attributes }
}

function hashRequest(
  target: string,
  readOnly: boolean,
  attributes: readonly (readonly [key: string, value: string])[],
): string {
  const sorted = attributes.toSorted(([a], [b]) => (a < b ? -1 : 1))
  return createHash('sha256')
    .update(JSON.stringify([target, readOnly, sorted]))
    .digest('hex')
}

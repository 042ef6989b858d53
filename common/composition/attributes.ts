import { CodedError } from '../errors.ts'
import { formatPlatform } from '../oci/platform.ts'
import { formatReference } from '../oci/reference.ts'
import { didYouMean } from '../suggest.ts'
import { quote } from './annotation-value.ts'
import { ATTRIBUTES, invalidAttribute } from './attribute-name.ts'
import { ATTRIBUTE_READERS, type AttributeDraft } from './attribute-reader.ts'
import { formatAttributeGlobs, formatAttributeList } from './attribute-value.ts'
import { LIMITS, type Source, sourceOf, type VolumeSpec } from './composition.ts'
import { selectionOf } from './selection.ts'
import { formatSourceList } from './source-list.ts'

/** Keys under this prefix are the kubelet's; who reads a volume context reads them on their own. */
const KUBELET_PREFIX = 'csi.storage.k8s.io/'

/**
 * Writes what the driver is told about a volume as the `volumeAttributes` of a CSI inline volume.
 *
 * {@link decodeAttributes} reads it back equal. What is at its default is left away.
 *
 * @throws INVALID when there is no source, there are more than 32, or the attributes pass 16 KiB
 */
export function encodeAttributes(volume: VolumeSpec): Record<string, string> {
  const [source, ...others] = volume.sources
  if (source === undefined || volume.sources.length > LIMITS.sourcesPerVolume) {
    throw new CodedError(
      'INVALID',
      `A volume has ${volume.sources.length} sources; expected 1 to ${LIMITS.sourcesPerVolume}`,
    )
  }
  const attributes = {
    ...(others.length === 0
      ? sourceAttributes(source)
      : { [ATTRIBUTES.sources]: formatSourceList(volume.sources) }),
    ...(volume.subPaths.length > 0 && {
      [ATTRIBUTES.subPaths]: formatAttributeList(volume.subPaths),
    }),
    ...(volume.writable === true && { [ATTRIBUTES.writable]: 'true' }),
    ...(volume.concurrency !== undefined && {
      [ATTRIBUTES.concurrency]: String(volume.concurrency),
    }),
    ...(volume.plainHttp && { [ATTRIBUTES.plainHttp]: 'true' }),
    ...(volume.insecure && { [ATTRIBUTES.insecure]: 'true' }),
  }
  checkSize(attributeBytes(attributes))
  return attributes
}

/**
 * Reads the attributes of a volume, written by the webhook or by hand.
 *
 * @param attributes a CSI volume context; the kubelet's keys (`csi.storage.k8s.io/...`) are passed over
 * @throws INVALID naming the attribute, what was found and what was expected; for an unknown one the nearest
 */
export function decodeAttributes(attributes: Readonly<Record<string, string>>): VolumeSpec {
  const ours = Object.entries(attributes).filter(([key]) => !key.startsWith(KUBELET_PREFIX))
  checkSize(attributeBytes(Object.fromEntries(ours)))
  const draft: AttributeDraft = {}
  for (const [key, value] of ours) readAttribute(draft, key, value)
  refuseBesideSources(draft)
  return {
    sources: draft.sources ?? [soleSource(draft)],
    subPaths: draft.subPaths ?? [],
    ...(draft.writable === true && { writable: true }),
    ...(draft.concurrency !== undefined && { concurrency: draft.concurrency }),
    plainHttp: draft.plainHttp ?? false,
    insecure: draft.insecure ?? false,
  }
}

/** What one source says of itself; beside a list of sources it would be unclear which of them it means. */
const OF_SOLE_SOURCE: readonly (keyof typeof ATTRIBUTES & keyof AttributeDraft)[] = [
  'reference',
  'mediaTypes',
  'annotations',
  'files',
  'path',
  'platform',
  'unpack',
  'modes',
  'pullPolicy',
  'pullAlways',
]

function refuseBesideSources(draft: AttributeDraft): void {
  if (draft.sources === undefined) return
  const name = OF_SOLE_SOURCE.find((one) => draft[one] !== undefined)
  if (name === undefined) return
  throw new CodedError(
    'INVALID',
    `Volume attribute "${ATTRIBUTES[name]}" stands beside "${ATTRIBUTES.sources}"; expected it in the sources it is meant for`,
  )
}

function soleSource(draft: AttributeDraft): Source {
  const { reference } = draft
  if (reference === undefined) {
    throw new CodedError(
      'INVALID',
      `Missing volume attribute "${ATTRIBUTES.reference}"; expected e.g. "ghcr.io/acme/app:v1"`,
    )
  }
  const pullPolicy = draft.pullAlways ? 'Always' : draft.pullPolicy
  if (draft.pullPolicy !== undefined && pullPolicy !== draft.pullPolicy) {
    throw invalidAttribute(
      ATTRIBUTES.pullAlways,
      `found "true" although "${ATTRIBUTES.pullPolicy}" is "${draft.pullPolicy}"; leave one of them away`,
    )
  }
  return sourceOf({ ...draft, reference, pullPolicy, select: selectionOf(draft) })
}

/** Lists of globs are JSON always: they may hold commas. */
function sourceAttributes(source: Source): Record<string, string> {
  const { reference, pullPolicy, select = {}, path, platform, unpack, modes } = source
  const { mediaTypes, annotations, files } = select
  return {
    [ATTRIBUTES.reference]: formatReference(reference),
    ...(mediaTypes && { [ATTRIBUTES.mediaTypes]: formatAttributeList(mediaTypes) }),
    ...(annotations && { [ATTRIBUTES.annotations]: formatAttributeGlobs(annotations) }),
    ...(files && { [ATTRIBUTES.files]: JSON.stringify(files) }),
    ...(path !== undefined && { [ATTRIBUTES.path]: path }),
    ...(platform && { [ATTRIBUTES.platform]: formatPlatform(platform) }),
    ...(unpack && { [ATTRIBUTES.unpack]: unpack }),
    ...(modes && { [ATTRIBUTES.modes]: modes }),
    ...(pullPolicy && { [ATTRIBUTES.pullPolicy]: pullPolicy }),
  }
}

/** Counts the bytes of keys and values, as the limits of a volume do. */
export function attributeBytes(attributes: Readonly<Record<string, string>>): number {
  return Object.entries(attributes).reduce(
    (sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value),
    0,
  )
}

function readAttribute(draft: AttributeDraft, key: string, value: string): void {
  const read = ATTRIBUTE_READERS.get(key)
  if (read !== undefined) {
    read(draft, value)
    return
  }
  const names = [...ATTRIBUTE_READERS.keys()]
  throw new CodedError('INVALID', `Unknown volume attribute ${quote(key)}${didYouMean(key, names)}`)
}

function checkSize(bytes: number): void {
  if (bytes <= LIMITS.attributeBytesPerVolume) return
  throw new CodedError(
    'INVALID',
    `The volume attributes have ${bytes} bytes; expected at most ${LIMITS.attributeBytesPerVolume}`,
  )
}

import { CodedError } from '../errors.ts'
import {
  asArray,
  asObject,
  asString,
  type JsonNode,
  optionalField,
  parseJson,
  requiredField,
} from '../json.ts'
import type { Descriptor } from './descriptor.ts'
import { parseDescriptor } from './manifest.ts'
import { formatPlatform } from './platform.ts'

/** What an index.json says of a manifest: a claim until its bytes were read. */
export type ListedManifest = Pick<Descriptor, 'digest' | 'mediaType' | 'size'>

/** The tags of a layout. */
export interface LayoutIndex {
  /**
   * Finds what a tag names; undefined when nothing. Of several entries with the tag the last counts: tools that never take an entry out put
   * the newer one behind the older.
   *
   * @throws CORRUPT for a malformed entry, and for entries that differ in their platforms: none of them is what the tag names
   */
  find(tag: string): ListedManifest | undefined
}

const REF_NAME = 'org.opencontainers.image.ref.name'
/** A layout may hold every version of an artifact there ever was. */
const MAX_MANIFESTS = 100_000

/**
 * Reads an index.json. Only what somebody asks for is looked at closely: one strange entry does not spoil the others.
 *
 * @throws UNAVAILABLE for what is no JSON: the file may be half-written; CORRUPT for what is no index
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md#indexjson-file
 */
export function parseLayoutIndex(bytes: Uint8Array, maxBytes: number): LayoutIndex {
  const root = parseJson(bytes, {
    ...{ name: 'index.json', code: 'CORRUPT', unparsableCode: 'UNAVAILABLE', maxBytes },
    maxValues: 20 * MAX_MANIFESTS,
    // SSRF: whoever names a host in a reference reads the message.
    secret: true,
  })
  const tagged = new Map<string, JsonNode[]>()
  for (const entry of asArray(requiredField(asObject(root), 'manifests'), MAX_MANIFESTS)) {
    const tag = tagOf(entry)
    if (tag === undefined) continue
    const entries = tagged.get(tag)
    if (entries === undefined) tagged.set(tag, [entry])
    else entries.push(entry)
  }
  return { find: (tag) => choose(tag, (tagged.get(tag) ?? []).map(parseDescriptor)) }
}

function tagOf(entry: JsonNode): string | undefined {
  const annotations = optionalField(asObject(entry), 'annotations')
  const tag = annotations && optionalField(asObject(annotations), REF_NAME)
  return tag && asString(tag)
}

function choose(tag: string, entries: readonly Descriptor[]): ListedManifest | undefined {
  const last = entries.at(-1)
  if (last === undefined) return undefined
  const platforms = entries.flatMap(({ platform }) => platform ?? [])
  if (new Set(platforms.map(formatPlatform)).size > 1) {
    throw new CodedError(
      'CORRUPT',
      `index.json: has several manifests "${tag}", for different platforms; expected an image index that lists them`,
    )
  }
  const { mediaType, digest, size } = last
  return { mediaType, digest, size }
}

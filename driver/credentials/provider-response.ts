import { CodedError } from '../../common/errors.ts'
import { parseGoDuration } from '../../common/go-duration.ts'
import {
  asObject,
  asString,
  type JsonNode,
  jsonFault,
  optionalField,
  parseJson,
  requiredField,
} from '../../common/json.ts'
import { createKeyring, type Keyring, type KeyringEntry } from '../../common/oci/credentials.ts'
import { parseRegistryPattern } from '../../common/oci/registry-pattern.ts'
import type { ProviderConfig } from './provider-config.ts'

/** For what an answer counts: this image, all images of its registry, or all that the provider is asked about. */
export type CacheKeyType = 'Image' | 'Registry' | 'Global'

/** What a provider answered. */
export interface ProviderResponse {
  readonly cacheKeyType: CacheKeyType
  /** Undefined: as long as the provider's configuration says. */
  readonly cacheMs: number | undefined
  /** May know nothing. */
  readonly keyring: Keyring
}

/** What a provider may write: credentials of some hundred registries. */
export const MAX_RESPONSE_BYTES = 1024 * 1024

/** Writes what a provider is asked. */
export function formatProviderRequest(
  { apiVersion }: Pick<ProviderConfig, 'apiVersion'>,
  image: string,
): string {
  return `${JSON.stringify({ kind: 'CredentialProviderRequest', apiVersion, image })}\n`
}

/**
 * Reads what a provider answered.
 *
 * @throws UNAVAILABLE saying what is wrong where, never a value
 * @see https://kubernetes.io/docs/reference/config-api/kubelet-credentialprovider.v1/
 */
export function parseProviderResponse(
  bytes: Uint8Array,
  { apiVersion }: Pick<ProviderConfig, 'apiVersion'>,
): ProviderResponse {
  const limits = { name: 'answer', code: 'UNAVAILABLE', maxBytes: MAX_RESPONSE_BYTES } as const
  const root = asObject(parseJson(bytes, { ...limits, secret: true }))
  expectText(requiredField(root, 'kind'), 'CredentialProviderResponse')
  expectText(requiredField(root, 'apiVersion'), apiVersion)
  const duration = optionalField(root, 'cacheDuration')
  const auth = optionalField(root, 'auth')
  return {
    cacheKeyType: cacheKeyType(requiredField(root, 'cacheKeyType')),
    cacheMs: duration && cacheMs(duration),
    keyring: createKeyring(auth === undefined ? [] : [...asObject(auth).fields].map(parseUser)),
  }
}

/** A provider has users and passwords only. */
function parseUser([key, node]: readonly [string, JsonNode]): KeyringEntry {
  const pattern = parseRegistryPattern(key)
  // The path of the node would quote the key, which may hold a user.
  if (pattern === undefined) {
    throw new CodedError('UNAVAILABLE', 'answer.auth: the key of an entry names no registry')
  }
  const entry = asObject(node)
  const text = (name: string) => {
    const field = optionalField(entry, name)
    return field === undefined ? '' : asString(field)
  }
  const username = text('username')
  const password = text('password')
  if (username === '' && password === '') return { pattern, credentials: [] }
  const credential = { kind: 'basic', username, password } as const
  return { pattern, credentials: [{ label: 'credential provider', credential }] }
}

const CACHE_KEY_TYPES: readonly CacheKeyType[] = ['Image', 'Registry', 'Global']

function cacheKeyType(node: JsonNode): CacheKeyType {
  const type = CACHE_KEY_TYPES.find((one) => one === asString(node))
  if (type === undefined) throw jsonFault(node, 'expected "Image", "Registry" or "Global"')
  return type
}

function cacheMs(node: JsonNode): number {
  const ms = parseGoDuration(asString(node))
  if (ms === undefined || ms < 0) throw jsonFault(node, 'expected a duration, e.g. "6h0m0s"')
  return ms
}

function expectText(node: JsonNode, expected: string): void {
  if (asString(node) === expected) return
  throw new CodedError('UNAVAILABLE', `${node.path}: expected "${expected}"`)
}

import { parseGoDuration } from '../../common/go-duration.ts'
import { parseRegistryPattern, type RegistryPattern } from '../../common/oci/registry-pattern.ts'
import {
  type ConfigNode,
  configFault,
  configFields,
  configItems,
  configText,
  parseConfigDocument,
} from './config-node.ts'

/** A program that knows credentials, and which images it is asked about. */
export interface ProviderConfig {
  /** The file's name in the directory of programs. */
  readonly name: string
  readonly matchImages: readonly RegistryPattern[]
  /** How long an answer counts that does not say it. */
  readonly defaultCacheMs: number
  readonly apiVersion: ProviderApiVersion
  readonly args: readonly string[]
  /** Added to the driver's own environment. */
  readonly env: Readonly<Record<string, string>>
}

const PROVIDER_API_VERSIONS = [
  'credentialprovider.kubelet.k8s.io/v1',
  'credentialprovider.kubelet.k8s.io/v1beta1',
  'credentialprovider.kubelet.k8s.io/v1alpha1',
] as const

/** How a provider is spoken to. The versions differ in name alone, as far as a CSI driver can go. */
export type ProviderApiVersion = (typeof PROVIDER_API_VERSIONS)[number]

const CONFIG_API_VERSIONS = [
  'kubelet.config.k8s.io/v1',
  'kubelet.config.k8s.io/v1beta1',
  'kubelet.config.k8s.io/v1alpha1',
] as const

/**
 * Reads the kubelet's CredentialProviderConfig, YAML or JSON, as strictly as the kubelet does: unknown fields are refused.
 *
 * `tokenAttributes` is refused: a provider that works with the service account tokens of pods gets them from the kubelet alone.
 *
 * @param file for messages
 * @throws INVALID `file:line: what is wrong where`; never the value of a variable
 * @see https://kubernetes.io/docs/reference/config-api/kubelet-config.v1/#kubelet-config-k8s-io-v1-CredentialProviderConfig
 */
export function parseProviderConfig(text: string, file: string): readonly ProviderConfig[] {
  const root = parseConfigDocument(text, file)
  const fields = configFields(root, ['apiVersion', 'kind', 'providers'])
  oneOf(fields.required('apiVersion'), CONFIG_API_VERSIONS)
  oneOf(fields.required('kind'), ['CredentialProviderConfig'])
  const providers = fields.required('providers')
  const nodes = configItems(providers)
  if (nodes.length === 0) throw configFault(providers, 'is empty; expected a provider at least')
  const names = new Set<string>()
  return nodes.map((node) => parseProvider(node, names))
}

const PROVIDER_FIELDS = [
  'name',
  'matchImages',
  'defaultCacheDuration',
  'apiVersion',
  'args',
  'env',
  'tokenAttributes',
]

function parseProvider(node: ConfigNode, names: Set<string>): ProviderConfig {
  const fields = configFields(node, PROVIDER_FIELDS)
  const tokens = fields.optional('tokenAttributes')
  if (tokens !== undefined) {
    throw configFault(
      tokens,
      "is not available to a CSI driver: only the kubelet hands service account tokens to a provider; leave it out of the driver's file, or leave out the provider",
    )
  }
  const matchImages = fields.required('matchImages')
  const patterns = configItems(matchImages).map(parseMatchImage)
  if (patterns.length === 0) {
    throw configFault(matchImages, 'is empty; expected an image at least, e.g. "*.azurecr.io"')
  }
  const variables = fields.optional('env')
  const args = fields.optional('args')
  return {
    name: parseName(fields.required('name'), names),
    matchImages: patterns,
    defaultCacheMs: parseCacheDuration(fields.required('defaultCacheDuration')),
    apiVersion: oneOf(fields.required('apiVersion'), PROVIDER_API_VERSIONS),
    args: args === undefined ? [] : configItems(args).map(withoutNul),
    env: Object.fromEntries(
      variables === undefined ? [] : configItems(variables).map(parseVariable),
    ),
  }
}

function parseName(node: ConfigNode, names: Set<string>): string {
  const name = configText(node)
  // The name becomes a path: "../../bin/sh" would be run as root.
  if (name === '' || name === '.' || name === '..' || /[/\s\0]/.test(name)) {
    throw configFault(node, 'expected the name of a program, without "/" and spaces')
  }
  if (names.has(name))
    throw configFault(node, `the provider ${JSON.stringify(name)} is there twice`)
  names.add(name)
  return name
}

function parseMatchImage(node: ConfigNode): RegistryPattern {
  const text = configText(node)
  const pattern = text.includes('://') ? undefined : parseRegistryPattern(text)
  if (pattern !== undefined) return pattern
  throw configFault(node, 'expected a registry, perhaps with a path, without "https://"')
}

function parseCacheDuration(node: ConfigNode): number {
  const ms = parseGoDuration(configText(node))
  if (ms === undefined || ms < 0) throw configFault(node, 'expected a duration, e.g. "12h" or "0s"')
  return ms
}

function parseVariable(node: ConfigNode): readonly [name: string, value: string] {
  const fields = configFields(node, ['name', 'value'])
  const nameNode = fields.required('name')
  const name = configText(nameNode)
  if (name === '' || /[=\0]/.test(name)) {
    throw configFault(nameNode, 'expected the name of a variable, without "="')
  }
  return [name, withoutNul(fields.required('value'))]
}

function withoutNul(node: ConfigNode): string {
  const text = configText(node)
  if (text.includes('\0')) throw configFault(node, 'holds a NUL, which a process cannot be given')
  return text
}

function oneOf<const T extends string>(node: ConfigNode, words: readonly T[]): T {
  const text = configText(node)
  const word = words.find((candidate) => candidate === text)
  if (word !== undefined) return word
  const expected = words.map((one) => JSON.stringify(one)).join(', ')
  throw configFault(node, `found ${JSON.stringify(text.slice(0, 100))}; expected ${expected}`)
}

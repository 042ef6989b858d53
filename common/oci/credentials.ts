import type { ErrorCode } from '../errors.ts'
import {
  asObject,
  asString,
  type JsonLimits,
  type JsonNode,
  type JsonObject,
  jsonFault,
  optionalField,
  parseJson,
} from '../json.ts'
import { parseRegistryPattern, type RegistryPattern } from './registry-pattern.ts'

/** A user and secret for a registry, or a token. Never logged, never part of a message. */
export type Credential = (
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token, exchanged at the registry's token endpoint. */
  | { readonly kind: 'identity-token'; readonly token: string }
  /** Sent to the registry as it is. */
  | { readonly kind: 'registry-token'; readonly token: string }
) & {
  /** Whose it stays although the secret changes every few hours; absent where the secret itself says who it is. */
  readonly holder?: CredentialHolder
}

/** The namespace whose secret it is from, and the user the cloud gives to everybody, e.g. `AWS`. */
export interface CredentialHolder {
  readonly namespace: string
  readonly username: string
}

/**
 * Users of clouds whose passwords last for some hours: ECR, Artifact Registry, ACR. Whoever keeps one in a secret has a job that
 * replaces it.
 */
const ROTATING_USERS = ['AWS', 'oauth2accesstoken', '00000000-0000-0000-0000-000000000000']

/** One credential and what to call it in a message, e.g. `secret of the volume`. */
export interface LabelledCredential {
  readonly label: string
  readonly credential: Credential
}

/** Credentials by registry and repository. */
export interface Keyring {
  /** The credentials to try, best first: the longest matching entry of each kind, ten at most. Empty means anonymous. */
  lookup(registry: string, repository: string): readonly LabelledCredential[]
}

/** Knows no credential. */
export const ANONYMOUS: Keyring = { lookup: () => [] }

/** Kubernetes allows a secret 1 MiB. */
const MAX_CONFIG_BYTES = 1024 * 1024
/** Far more registries than anybody has a password for; 34,000 entries, which 1 MiB can hold, take most of a second. */
const MAX_ENTRIES = 1_000
/** Twenty for each entry, which has six at most. More than that are refused before they are parsed. */
const MAX_VALUES = 20 * MAX_ENTRIES
/** Each costs a request at the registry, and 1,200 keys can all be a `*`. The best match comes first. */
const MAX_CANDIDATES = 10

/** What the credentials of a document are called in messages, and which code a fault in it has. */
export interface DockerConfigOptions {
  /** e.g. `secret of the volume` */
  readonly label: string
  /** Default `INVALID`. */
  readonly code?: ErrorCode
  /** Whose secret it is; it makes credentials that rotate known again. Default nobody's. */
  readonly namespace?: string
}

/**
 * Reads a docker `config.json` (`{"auths": {"ghcr.io": {"auth": "..."}}}`), or the older `.dockercfg`, which is the inner
 * object alone. Helpers and stores that the file names are programs of the machine it was written on: they are not run.
 *
 * @throws INVALID (or `options.code`) saying what is wrong where; never a value of the document
 */
export function parseDockerConfig(bytes: Uint8Array, options: DockerConfigOptions): Keyring {
  return parseAuths(bytes, options, 'either')
}

/**
 * Makes a keyring of a Kubernetes secret's data, as the kubelet hands it to a CSI driver: the keys `.dockerconfigjson`,
 * then `.dockercfg`; other keys say nothing.
 *
 * @throws INVALID when neither key is there or one does not parse; never a value of the secret
 */
export function keyringOf(
  secretData: Readonly<Record<string, string | Uint8Array>>,
  options: DockerConfigOptions,
): Keyring {
  const keyrings: Keyring[] = []
  for (const [key, shape] of SECRET_KEYS) {
    if (!Object.hasOwn(secretData, key)) continue
    const data = secretData[key] ?? ''
    keyrings.push(parseAuths(Buffer.from(data), options, shape))
  }
  const found = Object.keys(secretData)
  if (keyrings.length === 0 && found.length > 0) {
    throw jsonFault(
      { path: options.label, value: undefined, limits: limitsOf(options) },
      `has neither the key ".dockerconfigjson" nor ".dockercfg", only ${listKeys(found)}; expected a secret of type kubernetes.io/dockerconfigjson`,
    )
  }
  return combineKeyrings(keyrings)
}

function listKeys(keys: readonly string[]): string {
  const shown = keys.slice(0, MAX_LISTED_KEYS).map((key) => JSON.stringify(key.slice(0, 60)))
  const more = keys.length - shown.length
  return shown.join(', ') + (more > 0 ? ` and ${more} more` : '')
}

/** Enough to recognize a TLS secret or one of an application. */
const MAX_LISTED_KEYS = 5

/** Tries several keyrings in order: all that the first finds come before those of the second. */
export function combineKeyrings(keyrings: readonly Keyring[]): Keyring {
  return {
    lookup: (registry, repository) =>
      keyrings.flatMap((keyring) => keyring.lookup(registry, repository)).slice(0, MAX_CANDIDATES),
  }
}

type Shape = 'auths' | 'entries' | 'either'

const SECRET_KEYS: readonly (readonly [key: string, shape: Shape])[] = [
  ['.dockerconfigjson', 'auths'],
  ['.dockercfg', 'entries'],
]

/** What is for the registries and repositories of one pattern. */
export interface KeyringEntry {
  readonly pattern: RegistryPattern
  readonly credentials: readonly LabelledCredential[]
}

/** Makes a keyring that finds all matching entries, in the kubelet's order: longer keys before their own prefixes, names before globs. */
export function createKeyring(entries: readonly KeyringEntry[]): Keyring {
  const sorted = entries.toSorted((a, b) =>
    a.pattern.key < b.pattern.key ? 1 : a.pattern.key > b.pattern.key ? -1 : 0,
  )
  return {
    lookup: (registry, repository) =>
      sorted
        .filter(({ pattern }) => pattern.matches(registry, repository))
        .flatMap(({ credentials }) => credentials)
        .slice(0, MAX_CANDIDATES),
  }
}

function limitsOf({ label, code = 'INVALID' }: DockerConfigOptions): JsonLimits {
  return { name: label, code, maxBytes: MAX_CONFIG_BYTES, maxValues: MAX_VALUES, secret: true }
}

function parseAuths(bytes: Uint8Array, options: DockerConfigOptions, shape: Shape): Keyring {
  const root = parseJson(bytes, limitsOf(options))
  checkEntries(root)
  const document = asObject(root)
  const entries: KeyringEntry[] = []
  for (const [key, node] of entryNodes(document, shape)) {
    const pattern = parseRegistryPattern(key)
    if (pattern === undefined) {
      // The path of an entry quotes its key, which may be "https://user:password@host".
      throw key.includes('@')
        ? jsonFault(document, 'the key of an entry holds a user name; expected a registry alone')
        : jsonFault(node, 'expected a registry, e.g. "ghcr.io"')
    }
    const credentials = parseEntry(node, options.namespace).map((credential) => ({
      label: options.label,
      credential,
    }))
    if (credentials.length > 0) entries.push({ pattern, credentials })
  }
  return createKeyring(entries)
}

function entryNodes(document: JsonObject, shape: Shape): ReadonlyMap<string, JsonNode> {
  const auths = optionalField(document, 'auths')
  if (shape !== 'entries' && auths !== undefined) {
    checkEntries(auths)
    return asObject(auths).fields
  }
  if (shape === 'entries') return document.fields
  if (shape === 'auths') return new Map()
  // A .dockercfg holds objects only; a config.json without "auths" holds settings of other kinds too.
  const entries = [...document.fields].filter(([, node]) => isEntry(node))
  return new Map(entries)
}

function checkEntries(node: JsonNode): void {
  const { value } = node
  if (typeof value !== 'object' || value === null) return
  const count = Object.keys(value).length
  if (count > MAX_ENTRIES) {
    throw jsonFault(node, `${count} entries; at most ${MAX_ENTRIES} are read`)
  }
}

function isEntry({ value }: JsonNode): boolean {
  return typeof value === 'object' && value !== null && ENTRY_FIELDS.some((key) => key in value)
}

const ENTRY_FIELDS = ['auth', 'username', 'identitytoken', 'registrytoken']

/** The credentials of one entry: the token kinds first, as in docker and containerd, then user and password. */
function parseEntry(node: JsonNode, namespace: string | undefined): readonly Credential[] {
  const entry = asObject(node)
  const credentials: Credential[] = []
  const registryToken = textOf(entry, 'registrytoken')
  const identityToken = textOf(entry, 'identitytoken')
  const { username, password } = userOf(entry)
  const rotates = namespace && ROTATING_USERS.includes(username)
  const held = rotates ? { holder: { namespace, username } } : {}
  if (registryToken !== '') {
    credentials.push({ kind: 'registry-token', token: registryToken, ...held })
  }
  if (identityToken !== '') {
    credentials.push({ kind: 'identity-token', token: identityToken, ...held })
  }
  // Some registries take a token for the user name. Beside a token an empty password is only where docker puts the user.
  if (username !== '' && (password !== '' || credentials.length === 0)) {
    credentials.push({ kind: 'basic', username, password, ...held })
  }
  return credentials
}

function userOf(entry: JsonObject): { username: string; password: string } {
  const auth = optionalField(entry, 'auth')
  const encoded = auth === undefined ? '' : asString(auth).trim()
  if (auth === undefined || encoded === '') {
    return { username: textOf(entry, 'username'), password: textOf(entry, 'password') }
  }
  const bytes = Buffer.from(encoded, 'base64')
  const decoded = bytes.toString('utf8')
  const colon = decoded.indexOf(':')
  const canonical = withoutEnd(bytes.toString('base64'), '=') === withoutEnd(encoded, '=')
  if (!canonical || colon < 0 || decoded.includes('\uFFFD')) {
    throw jsonFault(auth, 'expected base64 of "user:password"')
  }
  // Docker pads passwords with NUL bytes in some versions.
  return {
    username: decoded.slice(0, colon),
    password: withoutEnd(decoded.slice(colon + 1), '\0'),
  }
}

/** Without a regular expression: `/=+$/` looks at each `=` of a run once for each of those before it. */
function withoutEnd(text: string, char: string): string {
  let end = text.length
  while (end > 0 && text[end - 1] === char) end--
  return text.slice(0, end)
}

function textOf(entry: JsonObject, key: string): string {
  const node = optionalField(entry, key)
  return node === undefined ? '' : asString(node)
}

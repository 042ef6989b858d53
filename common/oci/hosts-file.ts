import { parse, TomlError } from 'smol-toml'
import { CodedError } from '../errors.ts'
import { didYouMean } from '../suggest.ts'
import { HOST_URL_EXAMPLES, type HostUrl, parseHostUrl } from './host-url.ts'
import {
  readBoolean,
  readCapabilities,
  readClient,
  readDuration,
  readHeaders,
  readPaths,
  readProxy,
} from './hosts-fields.ts'
import { lineOf } from './toml-lines.ts'

/** What a hosts.toml says about one host. */
export interface HostSection {
  /** Undefined: the registry's own name over HTTPS. */
  readonly url: HostUrl | undefined
  readonly capabilities: { readonly pull: boolean; readonly resolve: boolean }
  /** As written: relative paths are relative to the file's directory. */
  readonly ca: readonly string[]
  /** A certificate's file and its key's, which may be the same. */
  readonly client: readonly ClientFiles[]
  readonly skipVerify: boolean
  /** Names in lower case; values may be secrets. */
  readonly headers: Readonly<Record<string, string>>
  /** Undefined: not said, or 0. */
  readonly dialTimeoutMs: number | undefined
  /** May hold a password. */
  readonly proxy: string | undefined
  /** Undefined: not said. */
  readonly authoritative: boolean | undefined
  /** Undefined: not said. */
  readonly podCredentials: boolean | undefined
}

/** The files of a client certificate. */
export interface ClientFiles {
  readonly cert: string
  readonly key: string
}

/** What a hosts.toml says. */
export interface HostsFile {
  /** In the order they stand there, and at last the server. */
  readonly sections: readonly HostSection[]
  /** What stands in the file and has no effect, e.g. `line 4: "skip_verfy" is not a setting and has no effect; did you mean "skip_verify"?` */
  readonly warnings: readonly string[]
}

const SETTINGS = [
  'capabilities',
  'ca',
  'client',
  'skip_verify',
  'header',
  'override_path',
  'dial_timeout',
  'proxy',
  'oras_authoritative',
  'oras_pod_credentials',
]
const TOP_LEVEL = ['server', 'host', ...SETTINGS]
/** A directory is no server. */
const NOT_FOR_DIRECTORIES = SETTINGS.filter((key) => !/^(?:capabilities|oras_auth.*)$/.test(key))

/**
 * Reads one hosts.toml as containerd does, all fields: `server`, and at the top level (for the server) and in each `[host."URL"]`
 * `capabilities`, `ca`, `client`, `skip_verify`, `header`, `override_path`, `dial_timeout` and `proxy`. Three things are ours:
 *
 * - `oras_authoritative = true`: this mirror checks who may read, so that its answer proves access (the server's does)
 * - `oras_pod_credentials = true`: this mirror is sent the pod's credentials for the registry (the server is)
 * - URLs of OCI layouts, see {@link parseHostUrl}
 *
 * @throws INVALID naming file and line; header values, which may be secrets, are not quoted, nor are URLs that may hold a password
 * @see https://github.com/containerd/containerd/blob/main/docs/hosts.md
 */
export function parseHostsFile(text: string, { path }: { readonly path: string }): HostsFile {
  const table = new Map(Object.entries(parseToml(text, path)))
  const warnings: string[] = []
  const reader = { text, path, warnings }
  const sections = hostTables(table.get('host'), reader).map(([url, settings]) =>
    readSection(['host', url], url, settings, reader),
  )
  const server = readSection([], readServer(table.get('server'), reader), table, reader)
  return { sections: [...sections, server], warnings }
}

/** A document that is being read, and where to. */
interface Reader {
  readonly text: string
  readonly path: string
  readonly warnings: string[]
}

type Table = ReadonlyMap<string, unknown>

function parseToml(text: string, path: string): object {
  try {
    return parse(text, { unsafeKeyBehaviour: 'throw', maxDepth: 32 })
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    // Its message quotes the lines around, where a header may hold a secret: first line only, and no cause.
    const reason = (error.message.split('\n')[0] ?? '').replace('Invalid TOML document: ', '')
    throw new CodedError('INVALID', `Invalid "${path}" line ${error.line}: ${reason}`)
  }
}

function hostTables(value: unknown, reader: Reader): readonly (readonly [string, Table])[] {
  if (value === undefined) return []
  if (!isTable(value)) throw fault(reader, ['host'], 'expected sections [host."https://..."]')
  return Object.entries(value).map(([url, settings]) => {
    if (isTable(settings)) return [url, new Map(Object.entries(settings))]
    throw fault(reader, ['host'], 'expected sections [host."https://..."]')
  })
}

function isTable(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function readServer(value: unknown, reader: Reader): string | undefined {
  if (value === undefined || value === '') return undefined
  if (typeof value !== 'string') throw fault(reader, ['server'], 'expected a string')
  return value
}

function readSection(
  place: readonly string[],
  address: string | undefined,
  table: Table,
  reader: Reader,
): HostSection {
  const failing = (key: string) => (expected: string) => fault(reader, [...place, key], expected)
  const field = <T>(key: string, read: (value: unknown, fail: Fail) => T): T | undefined => {
    const value = table.get(key)
    return value === undefined ? undefined : read(value, failing(key))
  }
  const url =
    address === undefined
      ? undefined
      : parseHostUrl(address, field('override_path', readBoolean) ?? false)
  if (address !== undefined && url === undefined) {
    throw fault(reader, place.length === 0 ? ['server'] : place, HOST_URL_EXAMPLES)
  }
  warnAbout(place, url, table, reader)
  return {
    url,
    capabilities: field('capabilities', readCapabilities) ?? { pull: true, resolve: true },
    ca: field('ca', readPaths) ?? [],
    client: field('client', readClient) ?? [],
    skipVerify: field('skip_verify', readBoolean) ?? false,
    headers:
      field('header', (value, fail) =>
        readHeaders(value, fail, (name) =>
          reader.warnings.push(
            `${placeOf(reader, [...place, 'header'])}${JSON.stringify(name)} is set by the driver itself and has no effect`,
          ),
        ),
      ) ?? {},
    dialTimeoutMs: field('dial_timeout', readDuration) || undefined,
    proxy: field('proxy', readProxy),
    authoritative: field('oras_authoritative', readBoolean),
    podCredentials: field('oras_pod_credentials', readBoolean),
  }
}

/** Makes the error for a value, e.g. `expected true or false`. */
type Fail = (expected: string) => CodedError

/** Every setting that is none, or does nothing where it stands. */
function warnAbout(
  place: readonly string[],
  url: HostUrl | undefined,
  table: Table,
  reader: Reader,
): void {
  const known = place.length === 0 ? TOP_LEVEL : SETTINGS
  const warn = (key: string, what: string) => {
    reader.warnings.push(`${placeOf(reader, [...place, key])}${JSON.stringify(key)} ${what}`)
  }
  for (const key of table.keys()) {
    if (!known.includes(key)) {
      warn(key, `is not a setting and has no effect${didYouMean(key, known)}`)
    } else if (url?.kind === 'layout-directory' && NOT_FOR_DIRECTORIES.includes(key)) {
      warn(key, 'has no effect for a directory')
    } else if (url?.kind === 'layout-http' && ONLY_FOR_REGISTRIES.includes(key)) {
      warn(key, 'has no effect for an OCI layout')
    } else if (key === 'skip_verify' && url !== undefined && isPlain(url)) {
      warn(key, 'has no effect over plain HTTP')
    }
  }
}

const ONLY_FOR_REGISTRIES = ['override_path', 'oras_pod_credentials']

function isPlain(url: HostUrl): boolean {
  return url.kind !== 'layout-directory' && url.base.startsWith('http:')
}

function fault(reader: Reader, path: readonly string[], expected: string): CodedError {
  const [key] = path.slice(-1)
  // The URL of a section may hold a password where it is no URL that is allowed.
  const name = path.length === 2 ? '' : `${JSON.stringify(key)}: `
  return new CodedError(
    'INVALID',
    `Invalid "${reader.path}" line ${lineOf(reader.text, path)}: ${name}${expected}`,
  )
}

function placeOf({ text }: Reader, path: readonly string[]): string {
  return `line ${lineOf(text, path)}: `
}

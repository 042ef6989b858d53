import { parse, TomlError } from 'smol-toml'
import { CodedError } from '../errors.ts'
import { didYouMean } from '../suggest.ts'

/** What a hosts.toml says about the server of a registry. */
export interface HostsFile {
  /** Base of the API, e.g. `https://registry.example.com/v2`; undefined means the registry's own name over HTTPS. */
  readonly server: string | undefined
  /** As written: relative paths are relative to the file's directory. */
  readonly ca: readonly string[]
  readonly skipVerify: boolean
  /** What stands in the file and has no effect, e.g. `line 4: "client" is not supported yet and has no effect`. */
  readonly warnings: readonly string[]
}

// What containerd knows besides; see createHosts.
const KNOWN = [
  'server',
  'ca',
  'skip_verify',
  'host',
  'capabilities',
  'client',
  'header',
  'override_path',
  'dial_timeout',
]
const READ = ['server', 'ca', 'skip_verify', 'override_path']
const HARMLESS = ['capabilities']

/**
 * Reads one hosts.toml.
 *
 * @throws INVALID naming file and line; header values, which may be secrets, are not quoted
 */
export function parseHostsFile(text: string, { path }: { readonly path: string }): HostsFile {
  const table = new Map(Object.entries(parseToml(text, path)))
  const fault = (key: string, expected: string) =>
    new CodedError('INVALID', `Invalid "${path}" line ${lineOf(text, key)}: "${key}": ${expected}`)
  return {
    server: readServer(table.get('server'), table.get('override_path'), fault),
    ca: readCa(table.get('ca'), fault),
    skipVerify: readBoolean('skip_verify', table.get('skip_verify'), fault),
    warnings: [...table]
      // containerd 1.6 wants the table even where it is empty.
      .filter(([key, value]) => key !== 'host' || !isEmptyTable(value))
      .flatMap(([key]) => warningFor(key, text)),
  }
}

type Fault = (key: string, expected: string) => CodedError

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

function readServer(value: unknown, overridePath: unknown, fault: Fault): string | undefined {
  const override = readBoolean('override_path', overridePath, fault)
  if (value === undefined || value === '') return undefined
  if (typeof value !== 'string') throw fault('server', 'expected a string')
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `https://${value}`)
  const plain = url !== null && url.username === '' && url.password === ''
  if (!plain || url.search !== '' || url.hash !== '' || !/^https?:$/.test(url.protocol)) {
    throw fault('server', 'expected a URL, e.g. "https://registry.example.com"')
  }
  const base = url.pathname.replace(/\/+$/, '')
  return url.origin + (override || base.endsWith('/v2') ? base : `${base}/v2`)
}

function readCa(value: unknown, fault: Fault): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : value === undefined ? [] : [value]
  return list.map((item) => {
    if (typeof item !== 'string' || item === '' || item.includes('\0')) {
      throw fault('ca', 'expected the path of a PEM file, or a list of paths')
    }
    return item
  })
}

function readBoolean(key: string, value: unknown, fault: Fault): boolean {
  if (value === undefined) return false
  if (typeof value !== 'boolean') throw fault(key, 'expected true or false')
  return value
}

function isEmptyTable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

function warningFor(key: string, text: string): readonly string[] {
  if (READ.includes(key) || HARMLESS.includes(key)) return []
  const place = `line ${lineOf(text, key)}: ${JSON.stringify(key)}`
  if (key === 'host') {
    return [
      `${place} sections (mirrors) are not supported yet and have no effect; the server is asked`,
    ]
  }
  if (KNOWN.includes(key)) return [`${place} is not supported yet and has no effect`]
  return [`${place} is not a setting and has no effect${didYouMean(key, KNOWN)}`]
}

/** Where a top-level key stands: `key =`, `[key]` or `[key."..."]`; 1 when it is written in another way. */
function lineOf(text: string, key: string): number {
  const name = RegExp.escape(key)
  const start = new RegExp(`^\\s*(?:"?${name}"?\\s*[.=]|\\[+\\s*"?${name}"?\\s*[.\\]])`)
  return Math.max(1, text.split('\n').findIndex((line) => start.test(line)) + 1)
}

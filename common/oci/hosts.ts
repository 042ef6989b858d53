import { X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { CodedError, isSystemError } from '../errors.ts'
import { parseHostsFile } from './hosts-file.ts'

/** How the certificate of a server is checked. Plain data: a worker thread can have it. */
export interface TlsSettings {
  /** PEM certificates trusted besides those of the system. */
  readonly ca: readonly string[]
  /** False only where the admin's configuration of that host says so. */
  readonly verify: boolean
}

/** One server of the distribution API. */
export interface Endpoint {
  /** Without a slash at the end; paths of the API follow, e.g. `https://registry-1.docker.io/v2`. */
  readonly base: string
  readonly tls: TlsSettings
  /** The admin named this server, so it may be at an address that references alone do not reach (loopback, link-local). */
  readonly configured: boolean
}

/** Who serves a registry name. */
export interface RegistryHosts {
  /** Tried in order, before the server. */
  readonly mirrors: readonly Endpoint[]
  readonly server: Endpoint
}

/** Knows which servers stand behind a registry name. */
export interface Hosts {
  /** @throws INVALID when the configuration of this registry is wrong, naming file and line */
  lookup(registry: string): Promise<RegistryHosts>
}

export interface HostsOptions {
  /** Directory of `<host>/hosts.toml`, e.g. `/etc/containerd/certs.d`; none means that nothing is configured. */
  readonly directory?: string
  /** For the CLI on a person's machine: plain HTTP for loopback hosts that are not configured, as `oras` and `docker` do. */
  readonly plainHttpLoopback?: boolean
  /** Hears, once for each version of a file, of what stands there and has no effect. */
  readonly warn?: (message: string) => void
}

interface Loaded {
  /** Every file that went in. */
  readonly files: readonly string[]
  /** Identity, size and times of those files. */
  readonly version: string
  readonly hosts: RegistryHosts
}

const VERIFIED: TlsSettings = { ca: [], verify: true }
const FILE_NAME = 'hosts.toml'
const ABSENT = ';'
const MAX_FILE_BYTES = 1024 * 1024
/** Pods name registries freely: `_default` must not fill the memory. */
const MAX_CACHED = 1000

/**
 * Reads containerd's host directories: `<directory>/<host>/hosts.toml`, with a port as `<host>_<port>_` or `<host>:<port>`,
 * and `_default` for registries without one. A registry without configuration is reached over verified TLS.
 *
 * Files are looked at again on each lookup, and read again when they changed.
 *
 * @see https://github.com/containerd/containerd/blob/main/docs/hosts.md
 */
export function createHosts(options: HostsOptions): Hosts {
  const cache = new Map<string, Loaded>()
  return {
    async lookup(registry) {
      const directory = options.directory && (await findDirectory(options.directory, registry))
      if (!directory) return { mirrors: [], server: unconfigured(registry, options) }
      const known = cache.get(registry)
      if (
        known !== undefined &&
        known.files[0] === join(directory, FILE_NAME) &&
        known.version === (await versionOf(known.files))
      ) {
        return known.hosts
      }
      const fresh = await load(directory, registry, options)
      if (cache.size >= MAX_CACHED) cache.clear()
      cache.set(registry, fresh)
      return fresh.hosts
    },
  }
}

async function load(
  directory: string,
  registry: string,
  { warn = () => {} }: HostsOptions,
): Promise<Loaded> {
  const path = join(directory, FILE_NAME)
  const before = await versionOf([path])
  const file = parseHostsFile(await readCapped(path), { path })
  const caPaths = file.ca.map((name) => (isAbsolute(name) ? name : join(directory, name)))
  const files = [path, ...caPaths]
  // Versions before contents: a change in between is read again at the next lookup.
  const version = before + (await versionOf(caPaths))
  const ca = await Promise.all(caPaths.map(readCertificates))
  for (const warning of file.warnings) warn(`${path}: ${warning}`)
  const server: Endpoint = {
    base: file.server ?? `https://${serverOf(registry)}/v2`,
    tls: { ca, verify: !file.skipVerify },
    configured: true,
  }
  return { files, version, hosts: { mirrors: [], server } }
}

/** The first of the directories containerd looks at that holds a hosts.toml. */
async function findDirectory(root: string, registry: string): Promise<string | undefined> {
  // The grammar of references has no slash in a registry; this is where a path is made of one.
  if (!/^[A-Za-z0-9.:[\]-]+$/.test(registry) || registry.startsWith('.')) {
    throw new CodedError('INVALID', `Invalid registry host ${JSON.stringify(registry)}`)
  }
  const withPort = registry.replace(/:(\d+)$/, '_$1_')
  for (const name of new Set([withPort, registry, '_default'])) {
    const directory = join(root, name)
    if ((await versionOf([join(directory, FILE_NAME)])) !== ABSENT) return directory
  }
  return undefined
}

async function versionOf(paths: readonly string[]): Promise<string> {
  const versions = await Promise.all(
    paths.map(async (path) => {
      try {
        const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
        return `${ino} ${size} ${mtimeNs} ${ctimeNs};`
      } catch (error) {
        if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return ABSENT
        throw unreadable(path, error)
      }
    }),
  )
  return versions.join('')
}

async function readCapped(path: string): Promise<string> {
  try {
    const bytes = await readFile(path)
    if (bytes.length <= MAX_FILE_BYTES)
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw unreadable(path, error)
  }
  throw new CodedError('INVALID', `Cannot use "${path}": larger than ${MAX_FILE_BYTES} bytes`)
}

async function readCertificates(path: string): Promise<string> {
  const text = await readCapped(path)
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  try {
    // Node ignores a certificate that does not parse and refuses every server instead.
    for (const block of blocks) new X509Certificate(block)
  } catch (error) {
    throw new CodedError('INVALID', `Cannot use "${path}": not a certificate`, { cause: error })
  }
  if (blocks.length === 0) {
    throw new CodedError('INVALID', `Cannot use "${path}": no PEM certificate in it`)
  }
  return blocks.join('\n')
}

function unreadable(path: string, error: unknown): CodedError {
  const reason = isSystemError(error) ? error.code : 'not UTF-8'
  return new CodedError('INVALID', `Cannot read "${path}": ${reason}`, { cause: error })
}

function unconfigured(registry: string, { plainHttpLoopback = false }: HostsOptions): Endpoint {
  const plain = plainHttpLoopback && isLoopbackHost(registry)
  return {
    base: plain ? `http://${registry}/v2` : `https://${serverOf(registry)}/v2`,
    tls: VERIFIED,
    configured: plain,
  }
}

/** Docker Hub's API is not at the name that references carry. */
function serverOf(registry: string): string {
  return registry === 'docker.io' ? 'registry-1.docker.io' : registry
}

function isLoopbackHost(registry: string): boolean {
  const host = registry.replace(/:\d+$/, '')
  return host === 'localhost' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host)
}

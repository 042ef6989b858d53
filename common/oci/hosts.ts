import { DEFAULT_DIAL_TIMEOUT_MS } from './dial-timeout.ts'
import { type HostsConfiguration, locateHosts, readHostsDirectory } from './hosts-directory.ts'
import type { HostSection } from './hosts-file.ts'
import { readCertificates, readClientCertificate, versionOf } from './key-files.ts'

/** A certificate that a client shows, with its key; both PEM. */
export interface ClientCertificate {
  /** The certificate, and those between it and its authority. */
  readonly cert: string
  readonly key: string
}

/** How the certificate of a server is checked, and which one it is shown. Plain data: a worker thread can have it. */
export interface TlsSettings {
  /** PEM certificates trusted besides those of the system. */
  readonly ca: readonly string[]
  /** False only where the admin's configuration of that host says so. */
  readonly verify: boolean
  /** Shown to a server that asks; absent: none. */
  readonly client?: readonly ClientCertificate[]
}

/** Where HTTP requests go, and how. */
export interface Endpoint {
  /** Without a slash at the end; paths follow, e.g. `https://registry-1.docker.io/v2`. */
  readonly base: string
  readonly tls: TlsSettings
  /** The admin named this server, so it may be at an address that references alone do not reach (loopback, link-local). */
  readonly configured: boolean
  /** Not at a private address either: the admin forbids those to registries that are not configured. */
  readonly publicOnly?: boolean
  /** Sent to this origin only, never to where it leads; names in lower case. Values may be secrets. */
  readonly headers: Readonly<Record<string, string>>
  /** How long a connection may take to come about. */
  readonly dialTimeoutMs: number
  /** A proxy for all that this host leads to, whatever the environment says; may hold a password. */
  readonly proxy?: string
}

/** What a host of a registry name is asked, and what its answers are worth. */
export interface HostRole {
  /** `resolve`: what a tag means; `pull`: what has a digest. */
  readonly capabilities: { readonly pull: boolean; readonly resolve: boolean }
  /** It checks who may read: that it sent somebody a manifest proves his access. Mirrors answer anybody from their cache. */
  readonly authoritative: boolean
}

/** A server of the distribution API. */
export interface RegistryHost extends Endpoint, HostRole {
  readonly kind: 'registry'
  /** It may be sent what the pod has for the registry. */
  readonly takesCredentials: boolean
  /** The registry's name, sent as `?ns=`: this host goes by another one and may stand for several. */
  readonly namespace?: string
}

/** A directory of OCI layouts: a repository is a sub-directory. */
export interface LayoutDirectoryHost extends HostRole {
  readonly kind: 'layout-directory'
  /** Absolute. */
  readonly directory: string
}

/** OCI layouts as static files over HTTP: `<base>/<repository>/index.json`. */
export interface LayoutHttpHost extends Endpoint, HostRole {
  readonly kind: 'layout-http'
}

/** Who can serve a registry name. */
export type Host = RegistryHost | LayoutDirectoryHost | LayoutHttpHost

/** Who serves a registry name. */
export interface RegistryHosts {
  /** In the order they are tried: mirrors, and at last the server. Never empty. */
  readonly hosts: readonly Host[]
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
  /** Registries that are not configured must be on the internet. */
  readonly forbidPrivateNetworks?: boolean
  /** Hears, once for each version of a file, of what stands there and has no effect. */
  readonly warn?: (message: string) => void
}

interface Loaded {
  readonly directory: string
  readonly files: readonly string[]
  readonly version: string
  readonly hosts: RegistryHosts
}

const VERIFIED: TlsSettings = { ca: [], verify: true }
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
  const { warn = () => {} } = options
  const cache = new Map<string, Loaded>()
  /** Files of the admin's, and the version of each that was warned about. */
  const warned = new Map<string, string>()
  return {
    async lookup(registry) {
      const directory = options.directory && (await locateHosts(options.directory, registry)).found
      if (!directory) return { hosts: [unconfigured(registry, options)] }
      const known = cache.get(registry)
      if (known?.directory === directory && known.version === (await versionOf(known.files))) {
        return known.hosts
      }
      const configuration = await readHostsDirectory(directory)
      if (configuration === undefined) return { hosts: [unconfigured(registry, options)] }
      const hosts = await buildHosts(configuration, registry, options)
      const { files, path, version, warnings } = configuration
      // Pods name registries freely, and one "_default" is for all of them.
      if (warned.get(path) !== version) {
        warned.set(path, version)
        for (const warning of warnings) warn(`${path}: ${warning}`)
      }
      if (cache.size >= MAX_CACHED) cache.clear()
      cache.set(registry, { directory, files, version, hosts })
      return hosts
    },
  }
}

/**
 * Makes the hosts of a registry of what is configured for it.
 *
 * @throws INVALID for a certificate or key that cannot be used, naming its file
 */
export async function buildHosts(
  { sections, isDefault }: HostsConfiguration,
  registry: string,
  { forbidPrivateNetworks = false }: Pick<HostsOptions, 'forbidPrivateNetworks'> = {},
): Promise<RegistryHosts> {
  const last = sections.at(-1)
  const named = (section: HostSection) =>
    // SSRF: whoever writes a reference chooses the host for which "_default" names no server.
    isDefault && section.url === undefined
      ? { configured: false, ...(forbidPrivateNetworks && { publicOnly: true }) }
      : { configured: true }
  const isServer = (section: HostSection) => {
    const { url } = section
    if (section === last || url?.kind !== 'registry') return section === last
    return url.base === baseOfSection(last, registry) || isAtRegistry(url.base, registry)
  }
  const hosts = sections.map((section) =>
    buildHost(isDefault ? withoutSecrets(section) : section, registry, {
      isServer: isServer(section),
      ...named(section),
    }),
  )
  return { hosts: await Promise.all(hosts) }
}

/** What "_default" says of the server whose name a reference gives: its secrets would go to whatever host a pod names. */
function withoutSecrets(section: HostSection): HostSection {
  return section.url === undefined ? { ...section, headers: {}, client: [] } : section
}

/** `isServer`: it answers for the name, no mirror of it: its answers prove access, and it may have the pod's credentials. */
async function buildHost(
  section: HostSection,
  registry: string,
  {
    isServer,
    ...named
  }: { readonly isServer: boolean } & Pick<Endpoint, 'configured' | 'publicOnly'>,
): Promise<Host> {
  const { capabilities, headers, proxy, dialTimeoutMs = DEFAULT_DIAL_TIMEOUT_MS } = section
  const url = section.url ?? { kind: 'registry', base: baseOf(registry) }
  const role = { capabilities, authoritative: section.authoritative ?? isServer }
  if (url.kind === 'layout-directory') return { ...url, ...role }
  const endpoint = {
    ...role,
    base: url.base,
    tls: await readTls(section),
    ...named,
    headers,
    dialTimeoutMs,
    ...(proxy !== undefined && { proxy }),
  }
  if (url.kind === 'layout-http') return { kind: 'layout-http', ...endpoint }
  return {
    kind: 'registry',
    ...endpoint,
    takesCredentials: section.podCredentials ?? isServer,
    ...(!hasNameOf(url.base, registry) && { namespace: registry }),
  }
}

async function readTls({ ca, client, skipVerify }: HostSection): Promise<TlsSettings> {
  const [authorities, certificates] = await Promise.all([
    Promise.all(ca.map(readCertificates)),
    Promise.all(client.map(readClientCertificate)),
  ])
  return {
    ca: authorities,
    verify: !skipVerify,
    ...(certificates.length > 0 && { client: certificates }),
  }
}

function unconfigured(
  registry: string,
  { plainHttpLoopback = false, forbidPrivateNetworks = false }: HostsOptions,
): RegistryHost {
  const plain = plainHttpLoopback && isLoopbackHost(registry)
  return {
    kind: 'registry',
    base: plain ? `http://${registry}/v2` : baseOf(registry),
    tls: VERIFIED,
    configured: plain,
    ...(forbidPrivateNetworks && !plain && { publicOnly: true }),
    headers: {},
    dialTimeoutMs: DEFAULT_DIAL_TIMEOUT_MS,
    capabilities: { pull: true, resolve: true },
    authoritative: true,
    takesCredentials: true,
  }
}

/** Where a registry's own API is. Docker Hub's is not at the name that references carry. */
function baseOf(registry: string): string {
  return `https://${registry === 'docker.io' ? 'registry-1.docker.io' : registry}/v2`
}

function baseOfSection(section: HostSection | undefined, registry: string): string | undefined {
  if (section?.url === undefined) return baseOf(registry)
  return section.url.kind === 'registry' ? section.url.base : undefined
}

/** A mirror in name only: `[host."http://reg:5000"]` for `reg:5000` is that registry, as the admin wants it to be reached. */
function isAtRegistry(base: string, registry: string): boolean {
  return hasNameOf(base, registry) && new URL(base).pathname === '/v2'
}

function hasNameOf(base: string, registry: string): boolean {
  return [baseOf(registry), `http://${registry}/v2`].some(
    (own) => new URL(own).host === new URL(base).host,
  )
}

function isLoopbackHost(registry: string): boolean {
  const host = registry.replace(/:\d+$/, '')
  return host === 'localhost' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host)
}

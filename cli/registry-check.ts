import { readFile } from 'node:fs/promises'
import { CodedError } from '../common/errors.ts'
import { bool, type FlagValues, optional, text } from '../common/flags.ts'
import { createLogger } from '../common/log.ts'
import { type Keyring, parseDockerConfig } from '../common/oci/credentials.ts'
import type { HostSource } from '../common/oci/host-source.ts'
import {
  buildHosts,
  createHosts,
  type Host,
  type LayoutDirectoryHost,
} from '../common/oci/hosts.ts'
import { locateHosts, readHostsDirectory } from '../common/oci/hosts-directory.ts'
import type { HostSection } from '../common/oci/hosts-file.ts'
import { readProxies } from '../common/oci/proxy.ts'
import { parseReference, type Reference } from '../common/oci/reference.ts'
import { createTransport } from '../common/oci/transport.ts'
import { PROVIDER_FLAGS, providersOf } from '../driver/credential-flags.ts'
import { type OpenNodeKeyring, openNodeKeyring } from '../driver/credentials/node-keyring.ts'
import { HOSTS_FLAGS } from '../driver/hosts-flags.ts'
import { createSeparateLayoutSource } from '../driver/pull/oci-layout/separate-layout-source.ts'
import { createCommand, type Io } from './command.ts'
import { checkHost, type HostCheck, type HostCheckOptions } from './host-check.ts'
import { readKeyring } from './registry-access.ts'
import { formatRegistryCheck } from './registry-check-text.ts'
import { judge, type Verdict } from './registry-verdict.ts'

/** How a registry name leads to its hosts, and what each of them does with a reference. */
export interface RegistryCheck {
  readonly reference: string
  /** Directories that were looked for; the last one is there if `configuration` is, or if it says nothing. */
  readonly looked: readonly string[]
  /** The hosts.toml, or the directory of certificates; absent: nothing is configured. */
  readonly configuration?: string
  readonly warnings: readonly string[]
  /** Names of the programs that were there to be asked, in their order; absent: none were given. */
  readonly credentialProviders?: readonly string[]
  /** In the order they are asked. */
  readonly hosts: readonly (HostCheck & { readonly trust: Trust })[]
  readonly verdict: Verdict
}

/** Whom a host must convince, and whom we are. */
export interface Trust {
  /** Plain HTTP and directories have none. */
  readonly tls: boolean
  readonly skipVerify: boolean
  /** Files. */
  readonly ca: readonly string[]
  /** Files of certificates. */
  readonly client: readonly string[]
}

/** A host that does not answer must not keep a person waiting. */
const IDLE_TIMEOUT_MS = 10_000

const FLAGS = {
  ...HOSTS_FLAGS,
  'docker-config': {
    value: 'FILE',
    doc: "credentials of the pod: a docker config.json, e.g. the secret's .dockerconfigjson; default those of docker login",
    default: '',
    parse: optional(text),
  },
  ...PROVIDER_FLAGS,
  'forbid-private-networks': { doc: 'as the driver with this flag', parse: bool },
  json: { doc: 'as JSON', parse: bool },
} as const

/**
 * Explains how the driver gets from a reference to a manifest: which hosts.toml counts, who is asked in which order, with what trust and
 * which credentials, what each host answers, and what comes of it. Each host is asked once, by the driver's own code and rules.
 */
export const registryCheck = createCommand({
  summary: 'explain step by step which hosts serve a reference, and what each answers',
  usage: 'oras-csi registry check REFERENCE [FLAGS]',
  flags: FLAGS,
  positionals: 1,
  async run(values, [name = ''], io) {
    const reference = parseNamedReference(name)
    const keyring = await openKeyring(values['docker-config'], io)
    using nodeKeyring = await openProviders(values, io)
    const found = await findHosts(reference.registry, values)
    await using transport = createTransport({
      idleTimeoutMs: IDLE_TIMEOUT_MS,
      proxies: readProxies(io.env),
    })
    await using layoutDirectories = createSeparateLayoutSource()
    const call = {
      ...{ keyring, nodeKeyring, transport, layoutDirectories },
      signal: io.interrupted,
    }
    const hosts = await checkHosts(found.hosts, reference, call)
    const verdict = judge(hosts, reference)
    // What is found holds keys and header values: nothing of it goes further but names.
    const check: RegistryCheck = {
      reference: name,
      looked: found.looked,
      ...(found.configuration !== undefined && { configuration: found.configuration }),
      warnings: found.warnings,
      ...(nodeKeyring && { credentialProviders: nodeKeyring.providers }),
      hosts: hosts.map((host, index) => ({ ...host, trust: trustOf(found, index) })),
      verdict,
    }
    io.stdout(values.json ? `${JSON.stringify(check, undefined, 2)}\n` : formatRegistryCheck(check))
    return verdict.works ? 0 : 1
  },
})

interface FoundHosts {
  readonly looked: readonly string[]
  readonly configuration?: string
  readonly warnings: readonly string[]
  readonly hosts: readonly Host[]
  /** Of each host; empty where nothing is configured. */
  readonly sections: readonly HostSection[]
}

async function findHosts(
  registry: string,
  values: { readonly 'hosts-directory': string; readonly 'forbid-private-networks': boolean },
): Promise<FoundHosts> {
  const options = { forbidPrivateNetworks: values['forbid-private-networks'] }
  const { looked, found } = await locateHosts(values['hosts-directory'], registry)
  const configuration = found === undefined ? undefined : await readHostsDirectory(found)
  if (configuration === undefined) {
    const { hosts } = await createHosts(options).lookup(registry)
    return { looked, hosts, warnings: [], sections: [] }
  }
  const { path, sections, warnings } = configuration
  const { hosts } = await buildHosts(configuration, registry, options)
  return { looked, configuration: path, warnings, hosts, sections }
}

/** Those that may say what a tag means first: the others are asked for what it means. */
async function checkHosts(
  hosts: readonly Host[],
  reference: Reference,
  call: Omit<HostCheckOptions, 'isServer'> & {
    readonly layoutDirectories: HostSource<LayoutDirectoryHost>
  },
): Promise<readonly HostCheck[]> {
  const checks = new Map<Host, HostCheck>()
  const last = hosts.at(-1)
  const ask = async (host: Host, wanted: Reference) => {
    checks.set(host, await checkHost(host, wanted, { ...call, isServer: host === last }))
  }
  const resolving = hosts.filter(({ capabilities }) => capabilities.resolve)
  for (const host of resolving) await ask(host, reference)
  const digest = [...checks.values()].find(({ names }) => names !== undefined)?.names?.digest
  const { registry, repository } = reference
  const byDigest = digest === undefined ? reference : { registry, repository, digest }
  for (const host of hosts) {
    const check = checks.get(host)
    if (check === undefined) await ask(host, byDigest)
    else if (digest !== undefined && check.authoritative && check.names?.digest !== digest) {
      // The tag means something else there: then the manifest is asked of it by digest.
      const again = await checkHost(host, byDigest, { ...call, isServer: host === last })
      const requests = [...check.requests, ...again.requests]
      const lookups = [...check.lookups, ...again.lookups]
      checks.set(host, { ...check, requests, lookups, ...(again.names && { alsoHas: digest }) })
    }
  }
  return hosts.flatMap((host) => checks.get(host) ?? [])
}

function trustOf({ hosts, sections }: FoundHosts, index: number): Trust {
  const host = hosts[index]
  const section = sections[index]
  return {
    tls: host !== undefined && host.kind !== 'layout-directory' && host.base.startsWith('https:'),
    skipVerify: section?.skipVerify ?? false,
    ca: section?.ca ?? [],
    client: section?.client.map(({ cert }) => cert) ?? [],
  }
}

function parseNamedReference(name: string): Reference {
  const reference = parseReference(name)
  if (reference.tag !== undefined || reference.digest !== undefined) return reference
  throw new CodedError(
    'INVALID',
    `Invalid reference "${name}": expected a tag or digest, e.g. "${name}:latest"`,
  )
}

async function openKeyring(path: string | undefined, io: Io): Promise<Keyring> {
  if (path === undefined) return readKeyring(io)
  return parseDockerConfig(await readFile(path), { label: path })
}

/** The driver's programs, if they are given. What the driver would log of them goes to standard error. */
async function openProviders(
  values: FlagValues<typeof PROVIDER_FLAGS>,
  io: Io,
): Promise<OpenNodeKeyring | undefined> {
  const providers = providersOf(values)
  if (providers === undefined) return undefined
  const destination = { write: io.stderr }
  const log = createLogger({ name: 'oras-csi', level: 'warn', destination })
  return openNodeKeyring({ providers }, { log, env: io.env })
}

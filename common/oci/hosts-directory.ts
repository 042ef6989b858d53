import { readdir } from 'node:fs/promises'
import { basename, isAbsolute, join } from 'node:path'
import { CodedError } from '../errors.ts'
import { type ClientFiles, type HostSection, parseHostsFile } from './hosts-file.ts'
import { ABSENT, readConfigurationFile, unreadable, versionOf } from './key-files.ts'

/** Where the configuration of a registry was looked for, and found. */
export interface HostsLocation {
  /** Each directory that was looked for, in order; the last one is there, if one is. */
  readonly looked: readonly string[]
  readonly found: string | undefined
}

/** What is configured for a registry. */
export interface HostsConfiguration {
  /** The hosts.toml, or the directory when certificates alone stand in it. */
  readonly path: string
  /** Of no registry by name. */
  readonly isDefault: boolean
  /** With absolute paths; the server last. */
  readonly sections: readonly HostSection[]
  readonly warnings: readonly string[]
  /** What it was made of, and which version of that. */
  readonly files: readonly string[]
  readonly version: string
}

const FILE_NAME = 'hosts.toml'
const DEFAULT = '_default'

/**
 * Finds the directory of a registry as containerd does: the first that is there of `<host>_<port>_`, `<host>:<port>` and `_default`.
 *
 * @throws INVALID for what is no registry host
 */
export async function locateHosts(root: string, registry: string): Promise<HostsLocation> {
  // The grammar of references has no slash in a registry; this is where a path is made of one.
  if (!/^[A-Za-z0-9.:[\]-]+$/.test(registry) || registry.startsWith('.')) {
    throw new CodedError('INVALID', `Invalid registry host ${JSON.stringify(registry)}`)
  }
  const withPort = registry.replace(/:(\d+)$/, '_$1_')
  const looked: string[] = []
  for (const name of new Set([withPort, registry, DEFAULT])) {
    const directory = join(root, name)
    looked.push(directory)
    if ((await versionOf([directory])) !== ABSENT) return { looked, found: directory }
  }
  return { looked, found: undefined }
}

/**
 * Reads what a registry's directory says: its hosts.toml or, where there is none, certificates by Docker's pattern (`*.crt` authorities,
 * `*.cert` and `*.key` client certificates).
 *
 * @returns undefined when there is neither
 * @throws INVALID naming file and line
 */
export async function readHostsDirectory(
  directory: string,
): Promise<HostsConfiguration | undefined> {
  const path = join(directory, FILE_NAME)
  // Versions before contents: a change in between is read again at the next lookup.
  const version = await versionOf([path, directory])
  const exists = (await versionOf([path])) !== ABSENT
  const text = exists ? await readConfigurationFile(path) : ''
  const file = parseHostsFile(text, { path })
  if (text.trim() !== '') {
    const sections = file.sections.map((section) => resolvePaths(section, directory))
    return withFiles({ path, sections, warnings: file.warnings }, [path, directory], version)
  }
  const [server] = file.sections
  const certificates = await findCertificates(directory)
  if (server === undefined || (!exists && certificates === undefined)) return undefined
  const sections = [{ ...server, ...certificates }]
  const place = exists ? path : directory
  return withFiles({ path: place, sections, warnings: [] }, [path, directory], version)
}

async function withFiles(
  configuration: Pick<HostsConfiguration, 'path' | 'sections' | 'warnings'>,
  own: readonly string[],
  version: string,
): Promise<HostsConfiguration> {
  const keys = configuration.sections.flatMap(({ ca, client }) => [
    ...ca,
    ...client.flatMap(({ cert, key }) => [cert, key]),
  ])
  const isDefault = own.some((path) => basename(path) === DEFAULT)
  return {
    ...configuration,
    warnings: [...configuration.warnings, ...(isDefault ? secretsForAnybody(configuration) : [])],
    isDefault,
    files: [...own, ...keys],
    version: version + (await versionOf(keys)),
  }
}

/** Whoever writes a reference chooses the host for which "_default" names no server. */
function secretsForAnybody({ sections }: Pick<HostsConfiguration, 'sections'>): readonly string[] {
  const nameless = sections.filter(({ url }) => url === undefined)
  const settings = [
    ...(nameless.some(({ headers }) => Object.keys(headers).length > 0) ? ['header'] : []),
    ...(nameless.some(({ client }) => client.length > 0) ? ['client'] : []),
  ]
  return settings.map(
    (key) =>
      `"${key}" has no effect in "${DEFAULT}" without "server": it would be sent to whatever host a pod names`,
  )
}

function resolvePaths(section: HostSection, directory: string): HostSection {
  const absolute = (path: string) => (isAbsolute(path) ? path : join(directory, path))
  const client = section.client.map(({ cert, key }): ClientFiles => {
    return { cert: absolute(cert), key: absolute(key) }
  })
  return { ...section, ca: section.ca.map(absolute), client }
}

/** @see https://docs.docker.com/engine/security/certificates/ */
async function findCertificates(
  directory: string,
): Promise<Pick<HostSection, 'ca' | 'client'> | undefined> {
  const names = await readdir(directory).then(
    (list) => list.toSorted(),
    (error: unknown) => {
      throw unreadable(directory, error)
    },
  )
  const ca = names.filter((name) => name.endsWith('.crt')).map((name) => join(directory, name))
  const client = names
    .filter((name) => name.endsWith('.cert'))
    .map((name) => {
      const key = name.replace(/cert$/, 'key')
      return {
        cert: join(directory, name),
        key: join(directory, names.includes(key) ? key : name),
      }
    })
  return ca.length + client.length > 0 ? { ca, client } : undefined
}

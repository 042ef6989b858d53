import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isSystemError } from '../common/errors.ts'
import { text } from '../common/flags.ts'
import { ANONYMOUS, type Keyring, parseDockerConfig } from '../common/oci/credentials.ts'
import { createHosts } from '../common/oci/hosts.ts'
import { createRegistrySource, type RegistrySource } from '../common/oci/registry-source.ts'
import type { Io } from './command.ts'

/** How registries are reached. */
export const REGISTRY_FLAGS = {
  'hosts-directory': {
    value: 'DIRECTORY',
    doc: "registries' addresses and certificates: containerd's hosts.toml directories",
    default: '/etc/containerd/certs.d',
    parse: text,
  },
} as const

/** Opens the registries as the docker client does: plain HTTP on loopback, TLS elsewhere. The caller disposes of it. */
export function openRegistries(hostsDirectory: string, io: Io): RegistrySource {
  const hosts = createHosts({
    directory: hostsDirectory,
    plainHttpLoopback: true,
    warn: (message) => io.stderr(`warning: ${message}\n`),
  })
  return createRegistrySource({ hosts })
}

/** What `docker login` and `oras login` wrote. */
export async function readKeyring(io: Io): Promise<Keyring> {
  const { DOCKER_CONFIG: configured, HOME: home } = io.env
  const directory = configured ?? (home === undefined ? undefined : join(home, '.docker'))
  if (directory === undefined) return ANONYMOUS
  const path = join(directory, 'config.json')
  try {
    return parseDockerConfig(await readFile(path), { label: path })
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return ANONYMOUS
    throw error
  }
}

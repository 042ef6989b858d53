import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isSystemError } from '../common/errors.ts'
import { ANONYMOUS, type Keyring, parseDockerConfig } from '../common/oci/credentials.ts'
import { createHosts, type Hosts } from '../common/oci/hosts.ts'
import { readProxies } from '../common/oci/proxy.ts'
import { createRegistrySource, type RegistrySource } from '../common/oci/registry-source.ts'
import {
  createSeparateLayoutSource,
  type SeparateLayoutSource,
} from '../driver/pull/oci-layout/separate-layout-source.ts'
import type { Io } from './command.ts'

/** Registries, and what else big blobs are fetched with. */
export interface Registries extends RegistrySource {
  readonly hosts: Hosts
  readonly layoutDirectories: SeparateLayoutSource
}

/** Opens the registries as the docker client does: plain HTTP on loopback, TLS elsewhere. The caller disposes of it. */
export function openRegistries(hostsDirectory: string, io: Io): Registries {
  return openHosts(
    createHosts({
      directory: hostsDirectory,
      plainHttpLoopback: true,
      warn: (message) => io.stderr(`warning: ${message}\n`),
    }),
    io,
  )
}

/** Opens one directory of OCI layouts in place of every registry. The caller disposes of it. */
export function openLayouts(directory: string, io: Io): Registries {
  const capabilities = { pull: true, resolve: true }
  const host = { kind: 'layout-directory', directory, capabilities, authoritative: true } as const
  return openHosts({ lookup: async () => ({ hosts: [host] }) }, io)
}

function openHosts(hosts: Hosts, io: Io): Registries {
  const layoutDirectories = createSeparateLayoutSource()
  const source = createRegistrySource({
    ...{ hosts, layoutDirectories },
    proxies: readProxies(io.env),
  })
  return {
    ...{ ...source, hosts, layoutDirectories },
    async [Symbol.asyncDispose]() {
      await source[Symbol.asyncDispose]()
      await layoutDirectories[Symbol.asyncDispose]()
    },
  }
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

import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createHosts, type HostsOptions, type RegistryHost } from '../../../common/oci/hosts.ts'
import type { TemporaryDirectory } from '../../support/temporary-directory.ts'

/** What a host is that nothing is said about. */
export const PLAIN_HOST = {
  kind: 'registry',
  tls: { ca: [], verify: true },
  configured: true,
  headers: {},
  dialTimeoutMs: 10_000,
  capabilities: { pull: true, resolve: true },
  authoritative: true,
  takesCredentials: true,
} as const

/** A host that stands before the server and is not vouched for. */
export const PLAIN_MIRROR = {
  ...PLAIN_HOST,
  authoritative: false,
  takesCredentials: false,
} as const

/** Writes a file, e.g. `ghcr.io/hosts.toml`, and gives its path. */
export async function put(
  directory: TemporaryDirectory,
  path: string,
  text: string,
): Promise<string> {
  const file = directory.file(...path.split('/'))
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, text)
  return file
}

/** The server of a registry that has no mirrors. @throws when there is another number of hosts */
export async function serverOf(registry: string, options: HostsOptions): Promise<RegistryHost> {
  const { hosts } = await createHosts(options).lookup(registry)
  const [server, ...others] = hosts
  if (server?.kind !== 'registry' || others.length > 0) {
    throw new TypeError(`expected one registry, found ${hosts.length} hosts`)
  }
  return server
}

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { NODE_PATHS } from '../places.ts'

/**
 * Tells the node where a registry is, by a hosts.toml, as an admin would. The driver and the container runtime look there.
 *
 * @param name what references call it, e.g. `ghcr.io` or `kind-registry:5000`
 * @param options.ca PEM of the authority of its certificate
 * @returns the directory that was made
 * @throws when the node knows a registry of that name already
 */
export async function writeRegistryHosts(
  name: string,
  options: { readonly url: string; readonly ca?: string },
): Promise<string> {
  await mkdir(NODE_PATHS.registries, { recursive: true })
  const directory = registryHostsDirectory(name)
  await mkdir(directory)
  if (options.ca !== undefined) await writeFile(join(directory, 'ca.crt'), options.ca)
  const ca = options.ca === undefined ? '' : 'ca = "ca.crt"\n'
  // containerd 1.6 takes a file without the last line for invalid, and asks the public registry.
  await writeFile(join(directory, 'hosts.toml'), `server = "${options.url}"\n${ca}[host]\n`)
  return directory
}

/** As containerd names the directory of a host with a port: `kind-registry_5000_`. */
export function registryHostsDirectory(name: string): string {
  return join(NODE_PATHS.registries, name.replace(/:(\d+)$/, '_$1_'))
}

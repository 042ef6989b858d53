import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createCertificateAuthority } from '../../support/certificates.ts'
import { type RegistryOptions, startRegistry, type TestRegistry } from '../../support/registry.ts'
import { ADDRESSES } from '../addresses.ts'
import { NODE_PATHS } from '../places.ts'

/**
 * Starts a registry that the node reaches under a public name, e.g. `ghcr.io`, because the container runtime's configuration on the
 * node says so: as an admin would name a mirror. Disposing stops it and takes the configuration back.
 *
 * @param name what references call it; `plainHttp` for a registry without TLS
 */
export async function startNodeRegistry(
  name: string,
  options: Pick<RegistryOptions, 'auth'> & { readonly plainHttp?: boolean } = {},
): Promise<TestRegistry> {
  await using stack = new AsyncDisposableStack()
  const authority = await createCertificateAuthority()
  const registry = stack.use(
    await startRegistry({
      address: ADDRESSES.node,
      ...(options.auth !== undefined && { auth: options.auth }),
      ...(options.plainHttp !== true && {
        tls: await authority.issue({ names: [ADDRESSES.node] }),
      }),
    }),
  )
  // As containerd names the directory of a host with a port.
  const directory = join(NODE_PATHS.registries, name.replace(/:(\d+)$/, '_$1_'))
  await mkdir(NODE_PATHS.registries, { recursive: true })
  await mkdir(directory)
  stack.defer(() => rm(directory, { recursive: true }))
  await writeFile(join(directory, 'ca.crt'), authority.cert)
  await writeFile(
    join(directory, 'hosts.toml'),
    // containerd 1.6 takes a file without the last line for invalid, and asks the public registry.
    `server = "${registry.url}"\n${options.plainHttp === true ? '' : 'ca = "ca.crt"\n'}[host]\n`,
  )
  const running = stack.move()
  return Object.create(registry, {
    [Symbol.asyncDispose]: { value: () => running.disposeAsync() },
  })
}

import { rm } from 'node:fs/promises'
import { createCertificateAuthority } from '../../support/certificates.ts'
import { type RegistryOptions, startRegistry, type TestRegistry } from '../../support/registry.ts'
import { ADDRESSES } from '../addresses.ts'
import { writeRegistryHosts } from '../node/registry-hosts.ts'

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
  const directory = await writeRegistryHosts(name, {
    url: registry.url,
    ...(options.plainHttp !== true && { ca: authority.cert }),
  })
  stack.defer(() => rm(directory, { recursive: true }))
  const running = stack.move()
  return Object.create(registry, {
    [Symbol.asyncDispose]: { value: () => running.disposeAsync() },
  })
}

import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { poll } from '../../support/poll.ts'
import { ADDRESSES, PORTS } from '../addresses.ts'
import { startDaemon, stopDaemon } from '../daemon.ts'
import type { Places } from '../places.ts'
import { registryHostsDirectory, writeRegistryHosts } from './registry-hosts.ts'

/** What references call the registry, and `oras push --plain-http`. */
export const LOCAL_REGISTRY = `${ADDRESSES.node}:${PORTS.registry}`
export const LOCAL_REGISTRY_URL = `http://${LOCAL_REGISTRY}`

/**
 * Starts an empty registry on the node's address, for a person to push to; the node may reach it over plain HTTP. One that was there
 * is removed first.
 */
export async function startLocalRegistry(places: Places): Promise<void> {
  await stopLocalRegistry(places)
  const file = join(places.etc, 'registry.json')
  // JSON is YAML.
  const configuration = {
    version: '0.1',
    storage: { filesystem: { rootdirectory: places.file('registry') }, delete: { enabled: true } },
    http: { addr: LOCAL_REGISTRY },
  }
  await writeFile(file, JSON.stringify(configuration, undefined, 2))
  await startDaemon(places, {
    name: 'docker-registry',
    command: '/usr/bin/docker-registry',
    args: ['serve', file],
  })
  await poll(async () => (await fetch(`${LOCAL_REGISTRY_URL}/v2/`)).ok, {
    deadlineMs: 30_000,
    what: 'the registry',
  })
  await writeRegistryHosts(LOCAL_REGISTRY, { url: LOCAL_REGISTRY_URL })
}

/** Stops the registry and removes all it has; does nothing where there is none. */
export async function stopLocalRegistry(places: Places): Promise<void> {
  await rm(registryHostsDirectory(LOCAL_REGISTRY), { recursive: true, force: true })
  await stopDaemon(places, 'docker-registry')
  await rm(places.file('registry'), { recursive: true, force: true })
}

import { readdir } from 'node:fs/promises'
import { restart } from '../cluster.ts'
import { NODE_PATHS, type Places } from '../places.ts'
import { DRIVER_NAMESPACE, ready } from './install.ts'
import { createKubectl } from './kubectl.ts'

/** The names of the files that hold volumes' trees on the node: one for each published volume. */
export async function leases(): Promise<readonly string[]> {
  const store = `${NODE_PATHS.kubelet}/plugins/csi.oras.land/store`
  const names = await readdir(`${store}/volumes`).catch(() => [])
  return names.filter((name) => name.endsWith('.json'))
}

/** What can be restarted while pods run. */
export type RestartedPart = 'driver' | 'kubelet' | 'containerd'

/** Restarts a part of the node, and waits until pods can be made again. */
export async function restartPart(places: Places, part: RestartedPart): Promise<void> {
  const kubectl = createKubectl(places)
  if (part === 'driver') {
    const driver = kubectl.in(DRIVER_NAMESPACE)
    await driver.runFor(65_000, 'delete', 'pod', '--all', '--timeout=60s')
  } else {
    await restart(places, part)
  }
  await ready(kubectl)
}

import { rm } from 'node:fs/promises'
import type { TestProject } from 'vitest/node'
import { down, KUBERNETES_VERSIONS, up } from './cluster.ts'
import { isRunning } from './daemon.ts'
import { DEFAULT_ROOT, NODE_PATHS, placesIn } from './places.ts'
import { install, uninstall } from './support/install.ts'
import { apiObjects, createKubectl } from './support/kubectl.ts'
import { timed } from './timed.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** The directory of the cluster that the scenarios run on. */
    readonly clusterRoot: string
    /** What the API server held before the manifests were applied. */
    readonly objectsBefore: readonly string[]
  }
}

/**
 * Starts a cluster from nothing and installs the shipped manifests; afterwards removes it. With `ORAS_CSI_CLUSTER=keep` a cluster that
 * runs is used, and left running: for working on scenarios.
 */
// biome-ignore lint/style/noDefaultExport: vitest calls the default export of this file
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // biome-ignore lint/style/noProcessEnv: vitest has no flags of ours
  const { ORAS_CSI_CLUSTER, ORAS_CSI_CLUSTER_DIR, ORAS_CSI_KUBERNETES } = process.env
  const places = placesIn(ORAS_CSI_CLUSTER_DIR || DEFAULT_ROOT)
  const keep = ORAS_CSI_CLUSTER === 'keep'
  const log = (line: string) => process.stdout.write(`${line}\n`)
  const kubernetes = KUBERNETES_VERSIONS.find((version) => version === ORAS_CSI_KUBERNETES)
  project.provide('clusterRoot', places.root)
  try {
    if (!(keep && (await isRunning(places, 'kubelet')))) {
      await up(places, { kubernetes: kubernetes ?? KUBERNETES_VERSIONS[0], log })
    }
    const kubectl = createKubectl(places)
    if (keep) {
      await uninstall(kubectl)
      // What earlier runs have pulled stays on a node: their tags mean other content now.
      await rm(`${NODE_PATHS.kubelet}/plugins/csi.oras.land`, { recursive: true, force: true })
    }
    project.provide('objectsBefore', await apiObjects(kubectl))
    await timed(log)('manifests/ applied and ready', () => install(kubectl))
  } catch (error) {
    if (!keep) await down(places)
    throw error
  }
  return async () => {
    if (!keep) await down(places)
  }
}

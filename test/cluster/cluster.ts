import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { exists } from '../support/cache-directory.ts'
import { poll } from '../support/poll.ts'
import { NODE_NAME } from './addresses.ts'
import { startCertManager } from './control-plane/cert-manager.ts'
import { startApiServer, startControllers } from './control-plane/control-plane.ts'
import { createPki } from './control-plane/pki.ts'
import { isRunning, logOf, stopDaemon } from './daemon.ts'
import { DEBIAN, JAVA, SMALL } from './images/base-images.ts'
import { type ImageSet, openImageBuilder } from './images/image-set.ts'
import { projectImage } from './images/project-image.ts'
import { ctr, startContainerd } from './node/containerd.ts'
import { startKubelet } from './node/kubelet.ts'
import {
  controlGroups,
  endContainers,
  networkNamespaces,
  removeTraces,
  unmountAll,
} from './node/leftovers.ts'
import { stopLocalRegistry } from './node/local-registry.ts'
import { closeNetwork, openNetwork } from './node/network.ts'
import { installDebianPackages } from './parts/debian-packages.ts'
import { buildGoTools, type GoModule } from './parts/go-tools.ts'
import { NODE_PATHS, type Places } from './places.ts'
import { createKubectl } from './support/kubectl.ts'
import { timed } from './timed.ts'

/** The minor versions of Kubernetes there are modules for; the first is the default. */
export const KUBERNETES_VERSIONS = ['1.36', '1.34'] as const
export type KubernetesVersion = (typeof KUBERNETES_VERSIONS)[number]

/** How a cluster is started. */
export interface UpOptions {
  readonly kubernetes: KubernetesVersion
  /** Hears what was done, with the time it took. */
  readonly log: (line: string) => void
}

/** Every daemon of a cluster, in the order in which they are stopped. */
export const DAEMONS = [
  'docker-registry',
  'dockerd',
  'cert-manager-webhook',
  'cert-manager-cainjector',
  'cert-manager-controller',
  'kubelet',
  'kube-scheduler',
  'kube-controller-manager',
  'containerd',
  'kube-apiserver',
  'etcd',
] as const

/**
 * Starts a cluster of one node, from nothing: what an earlier one left is removed first. When it returns, cert-manager answers, the
 * node takes pods, and the node holds all images.
 *
 * @throws when a part does not start, with the end of its log
 */
export async function up(places: Places, options: UpOptions): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('Cannot start a cluster: that takes root')
  const step = timed(options.log)
  await step('old state removed', () => down(places))
  await refuseOtherKubelet()
  const installed = await step('Debian packages', installDebianPackages)
  if (installed.length > 0) options.log(`installed ${installed.join(', ')}`)
  const bin = await step('Kubernetes binaries', () =>
    buildGoTools(`kubernetes-${options.kubernetes}` satisfies GoModule, options.log),
  )
  await step('cert-manager binaries', async () => {
    await buildGoTools('cert-manager', options.log)
    await buildGoTools('cainjector', options.log)
  })
  await mkdir(places.etc, { recursive: true })
  await mkdir(places.run, { recursive: true })
  // From here on, what stands at the node's paths is this cluster's.
  await writeFile(ownershipMark(places), '')
  await writeFile(binFile(places), bin)
  await mkdir(places.bin)
  await symlink(join(bin, 'kubectl'), join(places.bin, 'kubectl'))
  await writeFile(
    join(places.run, 'network-namespaces.json'),
    JSON.stringify(await networkNamespaces()),
  )
  const archives = await step('images', () => makeImages(places, options.log))
  try {
    await createPki(places)
    await openNetwork(places)
    await step('containerd', () => startContainerd(places))
    await Promise.all([
      step('API server', () => startApiServer(places, bin)),
      step('images imported', () => importImages(places, archives)),
    ])
    await startControllers(places, bin)
    await startKubelet(places, bin)
    await step('node ready', () => nodeReady(places))
    await step('cert-manager', () => startCertManager(places))
  } catch (error) {
    const logs = await Promise.all(
      DAEMONS.filter((name) => name !== 'dockerd').map(async (name) =>
        (await isRunning(places, name)) ? '' : logOf(places, name),
      ),
    )
    const ended = logs.filter((log) => log !== '').join('\n')
    throw new Error(`Cannot start the cluster; logs are in ${places.log}\n${ended}`, {
      cause: error,
    })
  }
}

/** Stops a cluster and removes all of it; does nothing where there is none. Nothing is asked of the API server, which may be dead. */
export async function down(places: Places): Promise<void> {
  if (!(await exists(ownershipMark(places)))) return
  // Whatever starts containers first.
  for (const name of DAEMONS.slice(0, DAEMONS.indexOf('containerd'))) await stopDaemon(places, name)
  await endContainers(places)
  for (const name of DAEMONS.slice(DAEMONS.indexOf('containerd'))) await stopDaemon(places, name)
  await endContainers(places)
  await stopLocalRegistry(places)
  await unmountAll(places)
  await removeTraces(places)
  await closeNetwork(places)
  await rm(places.root, { recursive: true, force: true })
}

/** Stops a daemon of the node and starts it again, as an upgrade does; its containers go on. */
export async function restart(places: Places, name: 'kubelet' | 'containerd'): Promise<void> {
  await stopDaemon(places, name)
  if (name === 'containerd') await startContainerd(places)
  else await startKubelet(places, await readFile(binFile(places), 'utf8'))
  await nodeReady(places)
}

/** Says of each daemon whether it runs, and what the API server says of the node. */
export async function status(places: Places): Promise<string> {
  const lines = await Promise.all(
    DAEMONS.filter((name) => name !== 'dockerd').map(
      async (name) => `${name}: ${(await isRunning(places, name)) ? 'runs' : 'does not run'}`,
    ),
  )
  if (!(await isRunning(places, 'kube-apiserver'))) return lines.join('\n')
  const kubectl = createKubectl(places)
  const nodes = await kubectl.run('get', 'nodes,pods', '-A', '-o', 'wide').catch(String)
  return [...lines, '', nodes].join('\n')
}

/** Names the directory of the Kubernetes programs that run. */
function binFile(places: Places): string {
  return join(places.run, 'kubernetes-programs')
}

function ownershipMark(places: Places): string {
  return join(places.run, 'owns-the-node')
}

/** Another kubelet's directory is not ours to use, and even less to remove. */
async function refuseOtherKubelet(): Promise<void> {
  const there = await readdir(NODE_PATHS.kubelet).catch(() => [])
  if (there.length > 0) {
    throw new Error(
      `Cannot start a cluster here: ${NODE_PATHS.kubelet} holds another kubelet's files (${there.join(', ')})`,
    )
  }
  const [group] = await controlGroups('kubepods')
  if (group !== undefined) {
    throw new Error(`Cannot start a cluster here: ${group} is another kubelet's`)
  }
}

async function makeImages(places: Places, log: (line: string) => void): Promise<readonly string[]> {
  await using builder = openImageBuilder(places, log)
  const archives: string[] = []
  const sets: readonly ImageSet[] = [SMALL, DEBIAN, JAVA, await projectImage()]
  for (const set of sets) archives.push(await builder.archiveOf(set))
  return archives
}

async function importImages(places: Places, archives: readonly string[]): Promise<void> {
  for (const archive of archives) await ctr(places, 'images', 'import', archive)
}

/** Ready, without a taint, and with the account that pods run as. */
async function nodeReady(places: Places): Promise<void> {
  const kubectl = createKubectl(places)
  await poll(
    async () => {
      const node = await kubectl.get('node', NODE_NAME)
      await kubectl.run('get', 'serviceaccount', 'default')
      const conditions: readonly { type: string; status: string }[] = node.status.conditions
      const ready = conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True')
      return ready && node.spec.taints === undefined
    },
    { deadlineMs: 120_000, what: `node ${NODE_NAME} to be ready` },
  )
}

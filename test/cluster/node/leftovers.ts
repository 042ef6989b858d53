import { readdir, readFile, readlink, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { runToEnd } from '../../support/command.ts'
import { detach, readMounts } from '../../support/mounts.ts'
import { poll } from '../../support/poll.ts'
import { CONTROL_GROUP } from '../images/docker.ts'
import { NODE_PATHS, type Places } from '../places.ts'

/** Ends what survives containerd: its shims, and the containers in the kubelet's control groups. */
export async function endContainers(places: Places): Promise<void> {
  for (const pid of await processes()) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    const isShim = command.startsWith('/usr/bin/containerd-shim')
    if (isShim && command.includes(places.containerdSocket)) kill(pid)
  }
  for (const group of await controlGroups('kubepods')) {
    const text = await readFile(join(group, 'cgroup.procs'), 'utf8').catch(() => '')
    for (const pid of text.split('\n').filter((line) => line !== '')) kill(Number(pid))
  }
  await poll(async () => (await containersLeft()) === 0, {
    deadlineMs: 10_000,
    what: 'the containers to end',
  })
}

/** Unmounts everything below the cluster's directory and the kubelet's, the latest first. */
export async function unmountAll(places: Places): Promise<void> {
  for (const mountPoint of (await mountsOf(places)).toReversed()) {
    // One that goes with the mount it hangs on is gone already.
    await detach(mountPoint).catch(() => {})
  }
  const left = await mountsOf(places)
  if (left.length > 0) throw new Error(`Cannot unmount ${left.join(', ')}`)
}

/** Removes what the node's daemons leave outside the cluster's directory, and the directories that are empty then. */
export async function removeTraces(places: Places): Promise<void> {
  await unmountAll(places)
  const groups = [...(await controlGroups('kubepods')), ...(await controlGroups(CONTROL_GROUP))]
  for (const group of groups.toReversed()) await rmdir(group).catch(() => {})
  await removeNetworkNamespaces(places)
  await removeLogLinks(places)
  await removeShimSockets()
  await removeKubeletChains()
  await rm('/var/lib/cni/results', { recursive: true, force: true })
  await rm(NODE_PATHS.kubelet, { recursive: true, force: true })
  for (const directory of EMPTY_DIRECTORIES) await rmdir(directory).catch(() => {})
}

/** Made by the daemons where a node has them anyway; removed when nothing else is in them. */
const EMPTY_DIRECTORIES = [
  '/var/lib/cni/networks',
  '/var/lib/cni',
  '/var/log/containers',
  '/var/log/pods',
  '/run/containerd',
  '/run/docker/plugins',
  '/run/docker',
  NODE_PATHS.registries,
  '/etc/containerd',
] as const

/** Everything that is mounted below the cluster's directory and the kubelet's. */
export async function mountsOf(places: Places): Promise<string[]> {
  const mounts = (await readMounts()).map(({ mountPoint }) => mountPoint)
  return mounts.filter((mount) =>
    [places.root, NODE_PATHS.kubelet].some((root) => `${mount}/`.startsWith(`${root}/`)),
  )
}

/** Those that containerd's network plug-in made for pods of this cluster: nobody else is in them any more. */
async function removeNetworkNamespaces(places: Places): Promise<void> {
  const before = await readFile(join(places.run, 'network-namespaces.json'), 'utf8').catch(() => '')
  const others: readonly string[] = before === '' ? [] : JSON.parse(before)
  for (const name of await networkNamespaces()) {
    if (others.includes(name)) continue
    await detach(`/run/netns/${name}`).catch(() => {})
    await rm(`/run/netns/${name}`, { force: true })
  }
}

/** The namespaces that container network plug-ins made, e.g. `cni-0a1b...`. */
export async function networkNamespaces(): Promise<string[]> {
  const names = await readdir('/run/netns').catch(() => [])
  return names.filter((name) => name.startsWith('cni-'))
}

/** Shims that are killed leave their sockets, named by hashes: they are nobody's when no shim runs. */
async function removeShimSockets(): Promise<void> {
  for (const pid of await processes()) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (command.includes('containerd-shim')) return
  }
  await rm('/run/containerd/s', { recursive: true, force: true })
}

async function removeLogLinks(places: Places): Promise<void> {
  for (const name of await readdir('/var/log/containers').catch(() => [])) {
    const link = join('/var/log/containers', name)
    const target = await readlink(link).catch(() => '')
    if (target.startsWith(places.root)) await rm(link)
  }
}

/** The kubelet makes a few chains even where it is told to make none. */
async function removeKubeletChains(): Promise<void> {
  for (const program of ['iptables', 'ip6tables']) {
    for (const table of ['mangle', 'filter', 'nat']) {
      const call = (...args: readonly string[]) =>
        // Statuses above 0: there is no such table, or it is gone already.
        runToEnd(program, ['-w', '-t', table, ...args], { accept: [0, 1, 2, 3, 4] })
      const rules = (await call('-S')).stdout.split('\n')
      const chains = rules.flatMap((rule) => /^-N (KUBE-\S+)$/.exec(rule)?.[1] ?? [])
      for (const rule of rules.filter((text) => / -j KUBE-\S+$/.test(text))) {
        await call('-D', ...rule.replace(/^-A /, '').split(' '))
      }
      for (const chain of chains) await call('-F', chain)
      for (const chain of chains) await call('-X', chain)
    }
  }
}

async function containersLeft(): Promise<number> {
  const counts = await Promise.all(
    (await controlGroups('kubepods')).map(async (group) => {
      const text = await readFile(join(group, 'cgroup.procs'), 'utf8').catch(() => '')
      return text.split('\n').length - 1
    }),
  )
  return counts.reduce((sum, count) => sum + count, 0)
}

/** A control group and those within, parents first, in every hierarchy of cgroup v1 or in that of v2. */
export async function controlGroups(name: string): Promise<string[]> {
  const root = '/sys/fs/cgroup'
  const hierarchies = [root, ...(await directoriesIn(root))]
  const groups: string[] = []
  for (const hierarchy of hierarchies) await collect(join(hierarchy, name), groups)
  return groups
}

async function collect(directory: string, into: string[]): Promise<void> {
  const children = await directoriesIn(directory).catch(() => undefined)
  if (children === undefined) return
  into.push(directory)
  for (const child of children) await collect(child, into)
}

async function directoriesIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true })
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(path, entry.name))
}

async function processes(): Promise<number[]> {
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself in the meantime: what was wanted.
  }
}

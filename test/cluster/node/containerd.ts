import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../support/command.ts'
import { poll } from '../../support/poll.ts'
import { ADDRESSES } from '../addresses.ts'
import { startDaemon } from '../daemon.ts'
import { NODE_PATHS, type Places } from '../places.ts'

/** The image that holds a pod's namespaces; see images/pause. */
export const PAUSE_IMAGE = 'registry.k8s.io/pause:3.10'

/** Starts containerd with a root, a state directory and a socket of its own. */
export async function startContainerd(places: Places): Promise<void> {
  const cni = join(places.etc, 'cni')
  await mkdir(cni, { recursive: true })
  await writeFile(join(cni, '10-pods.conflist'), JSON.stringify(podNetwork(places)))
  const file = join(places.etc, 'containerd.toml')
  await writeFile(file, configuration(places, cni))
  await startDaemon(places, {
    name: 'containerd',
    command: '/usr/bin/containerd',
    args: ['--config', file],
  })
  await poll(() => ctr(places, 'version'), { deadlineMs: 30_000, what: 'containerd' })
}

/** Runs containerd's client in the namespace of the kubelet's containers, and gives what it says. */
export function ctr(places: Places, ...args: readonly string[]): Promise<string> {
  const options = ['--address', places.containerdSocket, '--namespace', 'k8s.io']
  return run('ctr', [...options, ...args], { timeoutMs: 180_000 })
}

/** Every pod gets an address on one bridge; nothing leaves the machine. */
function podNetwork(places: Places) {
  return {
    cniVersion: '1.0.0',
    name: 'oras-csi',
    plugins: [
      {
        type: 'bridge',
        bridge: ADDRESSES.podLink,
        isGateway: true,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: join(places.run, 'pod-addresses'),
          ranges: [[{ subnet: ADDRESSES.pods }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
    ],
  }
}

/** `restrict_oom_score_adj`: a machine without CAP_SYS_RESOURCE may not lower it, and every pod would fail. */
function configuration(places: Places, cni: string): string {
  return `version = 2
root = "${places.file('containerd')}"
state = "${join(places.run, 'containerd')}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt",
]
[grpc]
  address = "${places.containerdSocket}"
[ttrpc]
  address = "${places.containerdSocket}.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_hugetlb_controller = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "${NODE_PATHS.registries}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${cni}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        BinaryName = "/usr/sbin/runc"
        Root = "${join(places.run, 'runc')}"
`
}

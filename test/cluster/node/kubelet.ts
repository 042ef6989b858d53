import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ADDRESSES, NODE_NAME } from '../addresses.ts'
import { kubeconfigOf } from '../control-plane/pki.ts'
import { startDaemon } from '../daemon.ts'
import { NODE_PATHS, type Places } from '../places.ts'

/** Starts the kubelet; its root is the one that the shipped manifests name. */
export async function startKubelet(places: Places, bin: string): Promise<void> {
  const resolvConf = join(places.etc, 'resolv.conf')
  await writeFile(resolvConf, 'nameserver 127.0.0.1\n')
  const file = join(places.etc, 'kubelet.json')
  await writeFile(file, JSON.stringify(configuration(places, resolvConf), undefined, 2))
  await mkdir(NODE_PATHS.kubelet, { recursive: true, mode: 0o750 })
  await startDaemon(places, {
    name: 'kubelet',
    command: join(bin, 'kubelet'),
    args: [
      `--config=${file}`,
      `--kubeconfig=${kubeconfigOf(places, 'kubelet')}`,
      `--root-dir=${NODE_PATHS.kubelet}`,
      `--hostname-override=${NODE_NAME}`,
      `--node-ip=${ADDRESSES.node}`,
      '--v=2',
    ],
  })
}

/** @see https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/ */
function configuration(places: Places, resolvConf: string) {
  const socket = `unix://${places.containerdSocket}`
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: ADDRESSES.node,
    healthzBindAddress: '127.0.0.1',
    containerRuntimeEndpoint: socket,
    imageServiceEndpoint: socket,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: join(places.pki, 'ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: join(places.pki, 'kubelet-server.crt'),
    tlsPrivateKeyFile: join(places.pki, 'kubelet-server.key'),
    resolvConf,
    clusterDomain: 'cluster.local',
    podLogsDir: places.file('pod-logs'),
    volumePluginDir: places.file('volume-plugins'),
    // A development machine: perhaps cgroup v1, swap, no systemd, a full disk.
    failCgroupV1: false,
    failSwapOn: false,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: '/',
    makeIPTablesUtilChains: false,
    imageGCHighThresholdPercent: 100,
    evictionHard: {
      'memory.available': '100Mi',
      'nodefs.available': '0%',
      'nodefs.inodesFree': '0%',
      'imagefs.available': '0%',
      'imagefs.inodesFree': '0%',
    },
  }
}

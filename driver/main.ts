import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { DRIVER_NAME } from '../common/composition/composition.ts'
import { durationMs, integer, listenAddress, text } from '../common/flags.ts'
import { runService } from '../common/service.ts'
import { socketPath } from './csi/socket-path.ts'
import { type Driver, startDriver } from './driver.ts'

const FLAGS = {
  'node-id': {
    value: 'NAME',
    doc: 'the name of this node in Kubernetes',
    default: hostname(),
    env: 'NODE_NAME',
    parse: text,
  },
  'kubelet-directory': {
    value: 'DIRECTORY',
    doc: "the kubelet's --root-dir",
    default: '/var/lib/kubelet',
    parse: text,
  },
  'csi-endpoint': {
    value: 'SOCKET',
    doc: `where CSI is served; default plugins/${DRIVER_NAME}/csi.sock in the kubelet's directory`,
    default: '',
    env: 'CSI_ENDPOINT',
    parse: text,
  },
  'store-directory': {
    value: 'DIRECTORY',
    doc: `where artifacts are kept; default plugins/${DRIVER_NAME}/store in the kubelet's directory`,
    default: '',
    parse: text,
  },
  'hosts-directory': {
    value: 'DIRECTORY',
    doc: "registries' addresses and certificates: containerd's hosts.toml directories",
    default: '/etc/containerd/certs.d',
    parse: text,
  },
  'health-listen': {
    value: '[HOST]:PORT',
    doc: 'where /livez and /readyz are served, over plain HTTP',
    default: ':9081',
    parse: listenAddress,
  },
  'max-downloads': {
    value: 'COUNT',
    doc: 'how many blobs are downloaded at once',
    default: '4',
    parse: integer(1, 64),
  },
  'tree-workers': {
    value: 'COUNT',
    doc: 'how many artifacts are unpacked at once',
    default: '2',
    parse: integer(1, 64),
  },
  'pull-linger': {
    value: 'DURATION',
    doc: 'how long a pull goes on that no pod waits for any more',
    default: '5m',
    parse: durationMs,
  },
} as const

await runService({
  process,
  name: 'oras-csi-driver',
  flags: FLAGS,
  failed: (driver: Driver) => driver.failed,
  start: (values, edge) => {
    const kubeletDirectory = resolve(values['kubelet-directory'])
    const plugin = join(kubeletDirectory, 'plugins', DRIVER_NAME)
    return startDriver(
      {
        version: readVersion(),
        nodeId: values['node-id'],
        kubeletDirectory,
        csiSocket: socketPath(values['csi-endpoint'] || join(plugin, 'csi.sock')),
        registrationDirectory: join(kubeletDirectory, 'plugins_registry'),
        storeDirectory: values['store-directory'] || join(plugin, 'store'),
        hostsDirectory: values['hosts-directory'],
        healthListen: values['health-listen'],
        maxDownloads: values['max-downloads'],
        treeWorkers: values['tree-workers'],
        pullLingerMs: values['pull-linger'],
      },
      edge,
    )
  },
})

function readVersion(): string {
  const { version }: { version: string } = JSON.parse(
    readFileSync(join(import.meta.dirname, '../package.json'), 'utf8'),
  )
  return version
}

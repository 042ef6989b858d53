import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { DRIVER_NAME } from '../common/composition/composition.ts'
import {
  bool,
  durationMs,
  integer,
  intervalMs,
  listenAddress,
  optional,
  text,
} from '../common/flags.ts'
import { packageVersion } from '../common/package-version.ts'
import { runService } from '../common/service.ts'
import { ACCESS_FLAGS, accessRulesOf } from './access-flags.ts'
import { CLUSTER_FLAGS, clusterConfigOf } from './cluster-flags.ts'
import { CREDENTIAL_FLAGS, nodeCredentialsOf } from './credential-flags.ts'
import { socketPath } from './csi/socket-path.ts'
import { type Driver, startDriver } from './driver.ts'
import { EVICTION_FLAGS, marksOf } from './eviction-flags.ts'
import { HOSTS_FLAGS } from './hosts-flags.ts'
import { LIMIT_FLAGS, limitsOf } from './limit-flags.ts'
import { WRITABLE_FLAGS } from './writable-flags.ts'

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
  ...HOSTS_FLAGS,
  'forbid-private-networks': {
    doc: 'refuse registries at private addresses (10.0.0.0/8, ...) that no hosts.toml names; loopback, link-local and metadata addresses always are',
    parse: bool,
  },
  'policy-file': {
    value: 'FILE',
    doc: 'what pods may mount, e.g. /etc/oras-csi/policy/policy.yaml; without one everything over TLS. Changes are taken up',
    default: '',
    parse: optional(text),
  },
  'health-listen': {
    value: '[HOST]:PORT',
    doc: 'where /livez, /readyz and /metrics are served, over plain HTTP',
    default: ':9081',
    parse: listenAddress,
  },
  'max-downloads': {
    value: 'COUNT',
    doc: 'how many blobs are downloaded at once',
    // Registries limit a connection; of small blobs, each has one.
    default: '12',
    parse: integer(1, 64),
  },
  'download-threads': {
    value: 'COUNT',
    doc: 'how many threads download large blobs; more than one helps on a link faster than a core can hash',
    default: '2',
    parse: integer(1, 16),
  },
  'max-connections': {
    value: 'COUNT',
    doc: 'how many connections downloads may have, together',
    default: '32',
    parse: integer(1, 1024),
  },
  'max-connections-per-registry': {
    value: 'COUNT',
    doc: 'how many connections downloads from one registry may have, together',
    default: '16',
    parse: integer(1, 1024),
  },
  'max-connections-per-blob': {
    value: 'COUNT',
    doc: 'how many connections the download of one large blob may have; 1 never asks for a range',
    default: '8',
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
  'recovery-interval': {
    value: 'DURATION',
    doc: 'how often volumes are compared with mounts and pods; one whose pod is gone at two looks is unmounted',
    default: '2m',
    parse: intervalMs,
  },
  ...CREDENTIAL_FLAGS,
  ...WRITABLE_FLAGS,
  ...LIMIT_FLAGS,
  ...ACCESS_FLAGS,
  ...EVICTION_FLAGS,
  ...CLUSTER_FLAGS,
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
        version: packageVersion(import.meta.dirname),
        nodeId: values['node-id'],
        kubeletDirectory,
        csiSocket: socketPath(values['csi-endpoint'] || join(plugin, 'csi.sock')),
        registrationDirectory: join(kubeletDirectory, 'plugins_registry'),
        storeDirectory: values['store-directory'] || join(plugin, 'store'),
        hostsDirectory: values['hosts-directory'],
        forbidPrivateNetworks: values['forbid-private-networks'],
        ...(values['policy-file'] !== undefined && { policyFile: values['policy-file'] }),
        nodeCredentials: nodeCredentialsOf(values),
        env: process.env,
        healthListen: values['health-listen'],
        maxDownloads: values['max-downloads'],
        downloadThreads: values['download-threads'],
        connections: {
          total: values['max-connections'],
          perRegistry: values['max-connections-per-registry'],
          perBlob: values['max-connections-per-blob'],
        },
        treeWorkers: values['tree-workers'],
        pullLingerMs: values['pull-linger'],
        limits: limitsOf(values),
        accessRules: accessRulesOf(values),
        writable: {
          limitBytes: values['max-writable-bytes'],
          intervalMs: values['writable-interval'],
        },
        eviction: { marks: marksOf(values), intervalMs: values['eviction-interval'] },
        recoveryIntervalMs: values['recovery-interval'],
        cluster: clusterConfigOf(values),
      },
      edge,
    )
  },
})

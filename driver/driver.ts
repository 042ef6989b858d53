import { join } from 'node:path'
import { DRIVER_NAME } from '../common/composition/composition.ts'
import type { CodedError } from '../common/errors.ts'
import type { ListenAddress } from '../common/flags.ts'
import { startHealthServer } from '../common/health-server.ts'
import type { Logger } from '../common/log.ts'
import { createHosts } from '../common/oci/hosts.ts'
import { nodePlatform } from '../common/oci/platform.ts'
import { readProxies } from '../common/oci/proxy.ts'
import { createRegistrySource } from '../common/oci/registry-source.ts'
import { openPolicy } from '../common/policy/open-policy.ts'
import { addProcessMetrics } from '../common/process-metrics.ts'
import { startAdminServer } from './admin/admin-server.ts'
import { storeAdmin } from './admin/store-admin.ts'
import type { ClusterConfig } from './cluster-flags.ts'
import { type NodeCredentialConfig, openNodeKeyring } from './credentials/node-keyring.ts'
import { identityService } from './csi/identity.ts'
import { nodeService } from './csi/node.ts'
import { registrationService } from './csi/registration.ts'
import { loadService } from './csi/services.ts'
import { serveOnSocket } from './csi/socket-server.ts'
import { openEvents } from './events/open-events.ts'
import { createPullReporter } from './events/pull-reporter.ts'
import { reportAdminPolicy, reportVolumePolicy } from './events/reported-policy.ts'
import { hasMountSetattr } from './linux/mount.ts'
import { createTreeRemover } from './linux/remove-tree-thread.ts'
import { createDriverMetrics } from './metrics/driver-metrics.ts'
import { observePublisher } from './metrics/observed-publisher.ts'
import { observePuller } from './metrics/observed-puller.ts'
import { addStoreMetrics } from './metrics/store-metrics.ts'
import { addWritableMetrics } from './metrics/writable-metrics.ts'
import { openApi } from './open-api.ts'
import type { AccessRules } from './pull/access-rules.ts'
import { type ConnectionLimits, createDownloadThreads } from './pull/download/download-threads.ts'
import { createManifestParser } from './pull/manifest/manifest-parser.ts'
import { createBlobDownloads } from './pull/oci-layout/blob-downloads.ts'
import { createSeparateLayoutSource } from './pull/oci-layout/separate-layout-source.ts'
import type { PullLimits } from './pull/pull-limits.ts'
import { createPuller } from './pull/puller.ts'
import { createTreeWorkers } from './pull/tree/tree-workers.ts'
import { createViewMaker } from './pull/view/view-maker.ts'
import { openStartupTaint } from './startup-taint/open-startup-taint.ts'
import { createEvictor } from './store/eviction/evictor.ts'
import type { Marks } from './store/eviction/goals.ts'
import { startHousekeeping } from './store/eviction/housekeeping.ts'
import { openStore, readBootId, type Store } from './store/store.ts'
import { createAdminPolicy, NO_POLICY } from './volume/admin-policy.ts'
import { createCloneMounter, createStagedMounter } from './volume/linux-mounter.ts'
import type { Mounter } from './volume/mounter.ts'
import { createPodDirectories } from './volume/pod-directories.ts'
import { createPublisher } from './volume/publisher.ts'
import { startReaper } from './volume/reaper.ts'
import { recoverLeases } from './volume/recover.ts'
import { createRegistryConsent } from './volume/registry-consent.ts'
import { createStoreMounts } from './volume/store-mounts.ts'
import { createWritableLayers } from './volume/writable-layers.ts'
import { startWritableWatch } from './volume/writable-watch.ts'

/** What a node driver is told at its start. */
export interface DriverConfig {
  readonly version: string
  readonly nodeId: string
  /** The kubelet's root, the same inside the driver's container as on the host. */
  readonly kubeletDirectory: string
  readonly csiSocket: string
  /** Where the kubelet looks for plugins. */
  readonly registrationDirectory: string
  readonly storeDirectory: string
  /** containerd's host directories; need not exist. */
  readonly hostsDirectory: string
  /** Registries that no hosts.toml names must be on the internet. */
  readonly forbidPrivateNetworks: boolean
  /** What pods may mount; absent: everything over TLS. */
  readonly policyFile?: string
  /** What is pulled with besides the volumes' own secrets. */
  readonly nodeCredentials: NodeCredentialConfig
  /** The environment of this process: proxies, and for the programs it starts. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly healthListen: ListenAddress
  readonly maxDownloads: number
  readonly downloadThreads: number
  readonly connections: ConnectionLimits
  readonly treeWorkers: number
  /** How long a pull goes on when no call waits for it. */
  readonly pullLingerMs: number
  /** What a pull may cost. */
  readonly limits: PullLimits
  /** How long what a registry said about access counts. */
  readonly accessRules: AccessRules
  /** How much of the disk is kept for what no pod uses. */
  readonly eviction: { readonly marks: Marks; readonly intervalMs: number }
  /** What a pod should write in a volume, and how often that is looked at. */
  readonly writable: { readonly limitBytes: number; readonly intervalMs: number }
  /** How often leases, mounts and pods are compared. */
  readonly recoveryIntervalMs: number
  /** What is done through the API server. */
  readonly cluster: ClusterConfig
}

/** A node driver that serves. The disposal ends calls and removes the sockets, and leaves every mount alone. */
export interface Driver extends AsyncDisposable {
  readonly healthPort: number
  /** Resolves, with the reason, when the driver cannot go on. */
  readonly failed: Promise<CodedError>
}

/**
 * Starts a node driver: opens the store (waiting while another driver holds it), recovers, serves CSI, and then lets the kubelet know.
 *
 * @param signal ends the start, e.g. the wait for the store
 */
export async function startDriver(
  config: DriverConfig,
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<Driver> {
  await using stack = new AsyncDisposableStack()
  const stopping = new AbortController()
  let state = 'starting'
  const { promise: failed, resolve: fail } = Promise.withResolvers<CodedError>()

  const { metrics, observer } = createDriverMetrics({
    version: config.version,
    onError: (error) => log.warn({ error }, 'cannot read a metric'),
  })
  stack.use(addProcessMetrics(metrics))
  // Before anything else: where an admin wants a policy, nothing is served without one.
  const policy = await openPolicy(config.policyFile, { stack, metrics, log })
  const adminPolicy = policy === undefined ? NO_POLICY : createAdminPolicy(policy)

  // Health first: a driver that waits for the store is alive, and says why it is not ready.
  const health = stack.use(
    await startHealthServer({
      listen: config.healthListen,
      notReady: () => (state === 'ready' ? undefined : state),
      metrics,
    }),
  )
  const nodeKeyring = stack.use(
    await openNodeKeyring(config.nodeCredentials, { log, env: config.env }),
  )
  const api = await openApi(config.cluster, { env: config.env, stack, log })
  const events = openEvents({
    ...{ stack, metrics, log, node: config.nodeId },
    api: config.cluster.events ? api : undefined,
  })
  const reporter = createPullReporter({ recorder: events })
  const startupTaint = openStartupTaint({
    ...{ api, stack, metrics, log, node: config.nodeId },
    key: config.cluster.startupTaint,
  })
  const storeMounts = createStoreMounts(config.storeDirectory)
  const remover = stack.use(createTreeRemover())
  const store = stack.use(
    await openStore({
      directory: config.storeDirectory,
      bootId: await readBootId(),
      log,
      signal,
      isMounted: async (path) => storeMounts.show(path),
      removeTree: remover.remove,
      onWait: () => {
        state = 'waiting for another driver to leave the store'
        log.info({ directory: config.storeDirectory }, state)
      },
    }),
  )
  const mounter = await buildMounter(store, stack)
  await recoverLeases({ store, mounter, log })
  const layers = createWritableLayers({ store, storeMounts })
  const swept = await layers.sweep()
  if (swept > 0) log.info({ volumes: swept }, 'swept what ended volumes had been written')
  const evictor = stack.use(
    createEvictor({
      ...{ store, log, signal: stopping.signal },
      limits: { ...config.eviction.marks, ...config.limits.tree },
      mountedKeys: storeMounts.keys,
      onEvicted(item, reason) {
        observer.evicted(item, reason)
        reporter.evicted(item, reason)
      },
    }),
  )
  addStoreMetrics(metrics, { store, evictor, countMounts: storeMounts.count })

  const hosts = createHosts({
    directory: config.hostsDirectory,
    forbidPrivateNetworks: config.forbidPrivateNetworks,
    warn: (message) => log.warn({ directory: config.hostsDirectory }, message),
  })
  const layoutDirectories = stack.use(
    createSeparateLayoutSource({
      maxManifestBytes: config.limits.manifest.bytes,
      deadlineMs: config.limits.stallMs,
    }),
  )
  const source = stack.use(
    createRegistrySource({
      ...{ hosts, layoutDirectories, log },
      proxies: readProxies(config.env),
      nodeKeyring,
      idleTimeoutMs: config.limits.stallMs,
      maxManifestBytes: config.limits.manifest.bytes,
    }),
  )
  const downloadThreads = stack.use(
    createBlobDownloads({
      ...{ hosts, layouts: layoutDirectories },
      threads: createDownloadThreads({
        ...{ source, log },
        size: config.downloadThreads,
        connections: config.connections,
        idleTimeoutMs: config.limits.stallMs,
      }),
    }),
  )
  const treeWorkers = stack.use(createTreeWorkers({ size: config.treeWorkers, log }))
  const puller = stack.use(
    createPuller({
      ...{ store, source, downloadThreads, treeWorkers, log },
      platform: nodePlatform(),
      maxDownloads: config.maxDownloads,
      lingerMs: config.pullLingerMs,
      ...{ limits: config.limits, accessRules: config.accessRules },
      onOutage: (outage) => {
        observer.outage()
        log.warn(outage, 'the registry does not answer, showing what the tag last meant')
      },
      onWrongBlob: (wrong) => {
        observer.wrongBlob()
        log.warn(wrong, 'a host sent other bytes than the blob has, asking another one')
      },
      ...{ evictor, observer },
    }),
  )
  const viewMaker = stack.use(
    createViewMaker({
      ...{ store, treeWorkers, log },
      limits: config.limits.tree,
      lingerMs: config.pullLingerMs,
    }),
  )
  const watch = stack.use(
    startWritableWatch({ ...{ layers, log, leases: store.leases }, ...config.writable }),
  )
  addWritableMetrics(metrics, watch)
  const volumes = createPublisher({
    ...{ store, viewMaker, mounter, layers, watch, log },
    puller: observePuller(puller, observer),
    watchPulls: reporter.watch,
    adminPolicy: reportAdminPolicy(adminPolicy, events),
    policy: reportVolumePolicy(createRegistryConsent(hosts), events),
    kubeletDirectory: config.kubeletDirectory,
  })
  const publisher = observePublisher(volumes, {
    observer,
    onOutOfSpace: () => void evictor.relieve(),
  })
  stack.use(
    startHousekeeping({
      ...{ store, evictor, log },
      parseManifest: createManifestParser(config.limits.manifest),
      intervalMs: config.eviction.intervalMs,
    }),
  )
  const registrationSocket = join(config.registrationDirectory, `${DRIVER_NAME}-reg.sock`)
  stack.use(
    startReaper({
      ...{ store, storeMounts, log, keeper: volumes },
      pods: createPodDirectories({
        kubeletDirectory: config.kubeletDirectory,
        registrationSocket,
        isRegistered: () => state === 'ready',
      }),
      kubeletDirectory: config.kubeletDirectory,
      intervalMs: config.recoveryIntervalMs,
    }),
  )
  stack.use(
    await startAdminServer({
      directory: config.storeDirectory,
      handlers: storeAdmin({ store, evictor }),
      log,
    }),
  )

  const calls = { log, stopping: stopping.signal }
  stack.use(
    await serveOnSocket(config.csiSocket, [
      [
        loadService('csi.proto', 'csi.v1.Identity'),
        identityService({ ...calls, version: config.version, isReady: () => state === 'ready' }),
      ],
      [
        loadService('csi.proto', 'csi.v1.Node'),
        nodeService({ ...calls, publisher, nodeId: config.nodeId }),
      ],
    ]),
  )
  // Waiting calls are told before the sockets close.
  stack.defer(() => stopping.abort())
  // Registration last, so that the kubelet finds everything else in place; and the first to go.
  stack.use(
    await serveOnSocket(registrationSocket, [
      [
        loadService('registration.proto', 'pluginregistration.Registration'),
        registrationService({
          ...calls,
          endpoint: config.csiSocket,
          onRegistered: () => {
            state = 'ready'
            log.info('registered with the kubelet')
            startupTaint?.registered()
          },
          onRefused: fail,
        }),
      ],
    ]),
  )
  state = 'waiting for the kubelet to register the driver'
  log.info({ socket: config.csiSocket, healthPort: health.port, node: config.nodeId }, 'serving')

  const running = stack.move()
  return {
    healthPort: health.port,
    failed,
    async [Symbol.asyncDispose]() {
      state = 'stopping'
      await running.disposeAsync()
    },
  }
}

async function buildMounter(store: Store, stack: AsyncDisposableStack): Promise<Mounter> {
  if (hasMountSetattr()) return createCloneMounter()
  return stack.use(createStagedMounter(await store.makeStaging()))
}

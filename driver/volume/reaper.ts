import { createHash } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import type { Logger } from '../../common/log.ts'
import { type Lease, UNKNOWN_REQUEST } from '../store/leases.ts'
import type { Store } from '../store/store.ts'
import type { PodDirectories } from './pod-directories.ts'
import type { VolumeKeeper } from './publisher.ts'
import type { StoreMount, StoreMounts } from './store-mounts.ts'

/** A volume that a lease or a mount tells of. */
interface Found {
  readonly volumeId: string
  readonly target: string
  readonly pod: string
  /** Of a volume that is mounted and has no lease. */
  readonly mount?: StoreMount
}

/**
 * Compares leases, mounts and the kubelet's pods, at once and then each `intervalMs`: the kubelet does not always say that a volume has ended. What is
 * mounted and has no lease is given one. A volume whose pod is gone is ended, if its target lies below the kubelet's root, that root is beyond doubt
 * this kubelet's, and two looks agree. The disposal waits for a look that is under way.
 */
export function startReaper(options: {
  readonly store: Pick<Store, 'leases' | 'otherLeases' | 'views' | 'bootId'>
  readonly keeper: VolumeKeeper
  readonly storeMounts: Pick<StoreMounts, 'list'>
  readonly pods: PodDirectories
  readonly kubeletDirectory: string
  readonly intervalMs: number
  readonly log: Logger
}): AsyncDisposable {
  const { store, keeper, pods, kubeletDirectory, intervalMs, log } = options
  /** Volumes whose pod was gone at the last look. */
  let suspected: ReadonlySet<string> = new Set()
  let lastDoubt: string | undefined
  let isStopping = false
  let timer: NodeJS.Timeout | undefined

  const look = async () => {
    // 1. Mounts before leases: a lease is written before its volume is mounted.
    const mounts = await mountsOf(options.storeMounts, kubeletDirectory)
    const found = new Map<string, Found>()
    for (const leases of [store.leases, ...store.otherLeases]) {
      for (const { volumeId, target } of (await leases.list()).leases) {
        const place = pods.parse(target)
        if (place !== undefined) found.set(target, { volumeId, target, pod: place.pod })
      }
    }
    for (const [target, mount] of mounts) {
      const place = found.has(target) ? undefined : pods.parse(target)
      if (place === undefined) continue
      found.set(target, { volumeId: inlineVolumeId(place), target, pod: place.pod, mount })
    }

    // 2. Whose pods are gone.
    const gone = new Set<string>()
    for (const pod of new Set([...found.values()].map((volume) => volume.pod))) {
      if (await pods.isGone(pod)) gone.add(pod)
    }

    // 3. What runs is held from now on.
    for (const volume of found.values()) {
      if (volume.mount !== undefined && !gone.has(volume.pod)) await takeUp(volume, volume.mount)
    }

    // 4. What does not run is ended, the second time it is seen.
    const orphans = [...found.values()].filter(({ pod }) => gone.has(pod))
    const doubt = orphans.length === 0 ? undefined : await pods.doubt(gone)
    noteDoubt(doubt, orphans.length)
    const isSure = async ({ pod }: Found) =>
      (await pods.isGone(pod)) && (await pods.doubt(gone)) === undefined
    const before = suspected
    suspected = new Set(doubt === undefined ? orphans.map(({ target }) => target) : [])
    const agreed = orphans.filter(({ target }) => suspected.has(target) && before.has(target))
    for (const orphan of agreed) await reap(orphan, () => isSure(orphan))
    log.debug({ volumes: found.size, orphans: orphans.length, doubt }, 'compared volumes and pods')
  }

  const takeUp = async ({ volumeId, target, pod }: Found, mount: StoreMount) => {
    const { kind, key, writable } = mount
    const view = kind === 'view' ? await store.views.get(key) : undefined
    const lease: Lease = {
      ...{ volumeId, target, pod: { namespace: '', name: '', uid: pod } },
      requestHash: UNKNOWN_REQUEST,
      sources: [],
      trees: kind === 'tree' ? [key] : (view?.meta.trees ?? []),
      views: kind === 'view' ? [key] : [],
      mounted: true,
      ...(writable && { writable }),
      bootId: store.bootId,
    }
    if (await keeper.takeUp(lease)) log.warn({ volume: volumeId, target }, 'a volume had no lease')
  }

  const reap = async ({ volumeId, target, pod }: Found, isOrphan: () => Promise<boolean>) => {
    try {
      if (!(await keeper.reap(volumeId, target, isOrphan))) return
      log.warn({ volume: volumeId, target, pod }, 'ended a volume whose pod is gone')
    } catch (error) {
      log.warn({ error, volume: volumeId, target, pod }, 'cannot end a volume whose pod is gone')
    }
  }

  const noteDoubt = (doubt: string | undefined, orphans: number) => {
    if (doubt !== undefined && doubt !== lastDoubt) {
      log.warn({ doubt, orphans, directory: kubeletDirectory }, 'pods seem gone, leaving volumes')
    }
    lastDoubt = doubt
  }

  const lookAndWait = async () => {
    try {
      await look()
    } catch (error) {
      // Whatever was seen before counts for nothing.
      suspected = new Set()
      log.warn({ error }, 'cannot compare volumes and pods; trying again later')
    }
    if (isStopping) return
    // From the end of one look, so that two are never close together.
    timer = setTimeout(() => {
      running = lookAndWait()
    }, intervalMs).unref()
  }
  let running = lookAndWait()
  return {
    async [Symbol.asyncDispose]() {
      isStopping = true
      clearTimeout(timer)
      await running
    },
  }
}

/** By target, as the kubelet names it: its root may be a symbolic link, which mountinfo does not know. */
async function mountsOf(
  storeMounts: Pick<StoreMounts, 'list'>,
  kubeletDirectory: string,
): Promise<ReadonlyMap<string, StoreMount>> {
  const root = await realpath(kubeletDirectory)
  const targets = new Map<string, StoreMount>()
  for (const mount of storeMounts.list()) {
    if (!mount.mountPoint.startsWith(`${root}/`)) continue
    targets.set(kubeletDirectory + mount.mountPoint.slice(root.length), mount)
  }
  return targets
}

/**
 * The id that the kubelet gives an inline volume.
 *
 * @see makeVolumeHandle in https://github.com/kubernetes/kubernetes/blob/v1.36.0/pkg/volume/csi/csi_mounter.go
 */
function inlineVolumeId({ pod, volume }: { readonly pod: string; readonly volume: string }) {
  return `csi-${createHash('sha256').update(`${pod}${volume}`).digest('hex')}`
}

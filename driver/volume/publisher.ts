import { mkdir, rmdir } from 'node:fs/promises'
import { CodedError, isCodedError, isSystemError, messageOf } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import { createKeyedLock } from '../keyed-lock.ts'
import { type FreeSpace, readFreeSpace } from '../linux/free-space.ts'
import type { Puller } from '../pull/puller.ts'
import { reachStage } from '../pull/stages.ts'
import type { ViewMaker } from '../pull/view/view-maker.ts'
import { type Lease, type LeasePod, UNKNOWN_REQUEST } from '../store/leases.ts'
import type { Store } from '../store/store.ts'
import type { AdminPolicy } from './admin-policy.ts'
import { createLeaseWriter } from './lease-writer.ts'
import type { Mounter } from './mounter.ts'
import type { MountEntry } from './mountinfo.ts'
import { checkSubPaths } from './sub-paths.ts'
import {
  identifyVolume,
  type PublishRequest,
  parseVolume,
  type Volume,
  type VolumeIdentity,
} from './volume.ts'
import { ensureContent, type Shown } from './volume-content.ts'
import { isUpperOf, type WritableLayers } from './writable-layers.ts'
import type { WritableWatch } from './writable-watch.ts'

/** What a volume uses, for the kubelet's statistics. */
export interface VolumeUsage {
  readonly bytes: Amount
  /** Absent where the file system makes inodes as they are needed. */
  readonly inodes?: Amount
}

export interface Amount {
  readonly total: number
  readonly used: number
  readonly available: number
}

/**
 * Publishes and unpublishes volumes. One call at a time for each volume: another waits for it until its own signal fires.
 * Every method may be called again after any outcome, also by a driver that started after this one was killed.
 */
export interface Publisher {
  /**
   * Makes the volume visible at its target, pulling first what the node lacks.
   *
   * @param request as the kubelet sent it; read only when the volume is not published already
   * @param signal fires before the caller stops waiting: the answer is then PENDING and the pull goes on; never mounted afterwards
   * @throws CONFLICT when something else is published there; else as {@link Puller}
   */
  publish(request: PublishRequest, signal: AbortSignal): Promise<void>

  /**
   * Ends what publish began, and succeeds whatever is missing of it. The content stays on the node for the next pod.
   *
   * @throws UNAVAILABLE when the mount is in use
   */
  unpublish(volumeId: string, target: string, signal: AbortSignal): Promise<void>

  /** @throws NOT_FOUND when the volume is not published at `path` */
  usage(volumeId: string, path: string): Promise<VolumeUsage>
}

/** Does what the kubelet has not asked for, one call at a time for each volume together with {@link Publisher}. */
export interface VolumeKeeper {
  /**
   * Ends a volume as unpublish does.
   *
   * @param isOrphan asked when no other call holds the volume: whether it is still one that nobody will ever end
   * @returns whether it was ended
   * @throws as {@link Publisher}'s unpublish
   */
  reap(volumeId: string, target: string, isOrphan: () => Promise<boolean>): Promise<boolean>

  /**
   * Writes a lease for what is mounted and has none, so that it is held like any other volume. Answers whether it did: not when a call has come
   * in between.
   */
  takeUp(lease: Lease): Promise<boolean>
}

/** Says whether the admin's configuration of registries lets a volume be published; throws DENIED when not. */
export interface VolumePolicy {
  check(volume: Volume): Promise<void>
}

export function createPublisher(options: {
  readonly store: Store
  readonly puller: Puller
  /** Gives what pulls for one pod, e.g. to tell it how far that is. */
  readonly watchPulls?: (puller: Puller, pod: LeasePod) => Puller
  readonly viewMaker: ViewMaker
  readonly mounter: Mounter
  readonly layers: Pick<WritableLayers, 'make' | 'discard'>
  readonly watch: Pick<WritableWatch, 'use' | 'limitBytes'>
  readonly policy: VolumePolicy
  /** Asked first: it asks nobody else. */
  readonly adminPolicy: AdminPolicy
  readonly log: Logger
  /** The kubelet's root: mounts elsewhere would reach no pod. */
  readonly kubeletDirectory: string
}): Publisher & VolumeKeeper {
  const { store, puller, viewMaker, mounter, layers, watch, policy, adminPolicy, log } = options
  const { kubeletDirectory } = options
  const volumes = createKeyedLock()
  const storeOf = ({ kind }: Pick<Shown, 'kind'>) => (kind === 'tree' ? store.trees : store.views)

  const isPublished = async (wanted: VolumeIdentity, lease: Lease) => {
    const shown = shownBy(lease)
    return (
      lease.requestHash === wanted.requestHash &&
      shown !== undefined &&
      showsOrDid(await mounter.mountsAt(wanted.target), shown)
    )
  }

  /** By a driver of another format, whose leases need not say of what: the attributes of a pod's volume never change. */
  const isPublishedByOther = async ({ id, target }: VolumeIdentity) => {
    for (const leases of store.otherLeases) {
      const lease = await leases.get(id)
      if (lease.state !== 'ok' || lease.value.target !== target) continue
      if (lease.value.mounted && (await mounter.isMounted(target))) return true
    }
    return false
  }

  /** Drops a volume's leases and what was written in it, unless it is mounted somewhere else than where it was just ended. */
  const dropLeases = async (volumeId: string, target: string) => {
    for (const leases of [store.leases, ...store.otherLeases]) {
      const lease = await leases.get(volumeId)
      const elsewhere =
        lease.state === 'ok' &&
        lease.value.target !== target &&
        (await mounter.isMounted(lease.value.target))
      if (elsewhere) continue
      const isReadOnly = lease.state === 'ok' && lease.value.writable !== true
      if (leases === store.leases && !isReadOnly) await layers.discard(volumeId)
      await leases.remove(volumeId)
    }
  }

  /** To be called by who has the volume's lock. */
  const end = async (volumeId: string, target: string) => {
    if (await mounter.isMounted(target)) {
      if (!isBelow(target, kubeletDirectory)) throw misplaced(target, kubeletDirectory)
      await mounter.unmountAll(target)
    }
    if (isBelow(target, kubeletDirectory)) await removeTarget(target)
    try {
      await dropLeases(volumeId, target)
    } catch (error) {
      // The pod can end; what looks at volumes every few minutes drops a lease whose pod is gone.
      log.error({ error, volume: volumeId }, 'cannot drop the lease of an unpublished volume')
    }
  }

  /** Pulls and mounts; `takeBack` is told how to end what was mounted, before it is. */
  const show = async (
    request: PublishRequest,
    signal: AbortSignal,
    takeBack: (undo: () => Promise<void>) => void,
  ) => {
    // 2. What is asked for, and whether the admin lets it be.
    const volume = parseVolume(request)
    const { writable = false } = volume.spec
    const allowed = adminPolicy.admit(volume)
    await policy.check(volume)

    // 3. A lease, written before each tree and view is used, so that eviction cannot win the race.
    const lease = createLeaseWriter(store.leases, {
      volumeId: volume.id,
      target: volume.target,
      pod: volume.pod,
      requestHash: volume.requestHash,
      sources: [],
      trees: [],
      views: [],
      mounted: false,
      ...(writable && { writable }),
      bootId: store.bootId,
    })

    // 4. Each source: resolve, authorize, ensure the tree. The view of them. What the pod will mount of it.
    const content = await ensureContent(volume, {
      ...{ viewMaker, lease, signal },
      puller: options.watchPulls?.(puller, volume.pod) ?? puller,
      policy: allowed,
    })
    checkSubPaths(content.root, volume.spec.subPaths, { mayLack: writable })

    // 5. Mount, and look at mountinfo. A mount that no lease knew of is taken up.
    const mounts = await mounter.mountsAt(volume.target)
    if (!shows(mounts, { ...content, volumeId: volume.id, writable })) {
      if (mounts.length > 0) throw conflict(volume)
      // The caller may have given up and told others that the volume is gone.
      signal.throwIfAborted()
      takeBack(async () => {
        await mounter.unmountAll(volume.target)
        await removeTarget(volume.target)
        if (writable) await layers.discard(volume.id)
      })
      await makeTarget(volume.target)
      if (writable) {
        const own = await layers.make(volume.id)
        await mounter.mountWritable({ lower: content.root, ...own }, volume.target)
      } else {
        await mounter.mountReadOnly(content.root, volume.target)
      }
      reachStage('mounted')
    }

    // 6. Say so.
    await lease.change((before) => ({ ...before, mounted: true }))
    reachStage('lease-completed')
  }

  return {
    async publish(request, signal) {
      const wanted = identifyVolume(request)
      if (!isBelow(wanted.target, kubeletDirectory)) {
        throw misplaced(wanted.target, kubeletDirectory)
      }
      using _ = await volumes.acquire(wanted.id, signal)

      // 1. Done already: answered before anything that could fail, since the kubelet repeats itself after a restart.
      const before = await store.leases.get(wanted.id)
      if (before.state === 'ok') {
        if (await isPublished(wanted, before.value)) {
          if (!before.value.mounted) await store.leases.put({ ...before.value, mounted: true })
          return
        }
        const isMounted = await mounter.isMounted(before.value.target)
        if (isMounted && before.value.requestHash !== UNKNOWN_REQUEST) throw conflict(wanted)
      } else if (await isPublishedByOther(wanted)) {
        return
      }

      let undo = async () => {}
      try {
        await show(request, signal, (takeBack) => {
          undo = takeBack
        })
      } catch (error) {
        // Time was up: the pull goes on under its lease, and the kubelet comes again or unpublishes.
        if (isCodedError(error, 'PENDING')) throw error
        try {
          await undo()
          // After any other failure it may do neither.
          if (before.state === 'ok' && before.value.requestHash === UNKNOWN_REQUEST) {
            // A running pod's, and mounted as before.
            await store.leases.put(before.value)
          } else {
            await store.leases.remove(wanted.id)
          }
        } catch (cause) {
          log.error({ error: cause, volume: wanted.id }, 'cannot take back a failed publish')
          // A code after which the kubelet does unpublish.
          throw new CodedError('UNAVAILABLE', `${messageOf(error)}; what it began remains`, {
            cause: error,
          })
        }
        throw error
      }
    },

    async unpublish(volumeId, target, signal) {
      using _ = await volumes.acquire(volumeId, signal)
      await end(volumeId, target)
    },

    async reap(volumeId, target, isOrphan) {
      using _ = await volumes.acquire(volumeId)
      if (!(await isOrphan())) return false
      await end(volumeId, target)
      return true
    },

    async takeUp(lease) {
      using _ = await volumes.acquire(lease.volumeId)
      const shown = shownBy(lease)
      if ((await store.leases.get(lease.volumeId)).state === 'ok' || shown === undefined)
        return false
      if (!shows(await mounter.mountsAt(lease.target), shown)) return false
      await store.leases.put(lease)
      return true
    },

    async usage(volumeId, path) {
      const lease = await store.leases.get(volumeId)
      if (lease.state !== 'ok' || lease.value.target !== path || !lease.value.mounted) {
        throw new CodedError('NOT_FOUND', `Volume "${volumeId}" is not published at "${path}"`)
      }
      const shown = shownBy(lease.value)
      if (shown?.writable === true) {
        const { bytes, inodes } = await watch.use(volumeId)
        return writableUsage(bytes, inodes, watch.limitBytes, readFreeSpace(store.directory))
      }
      const meta = shown && (await storeOf(shown).get(shown.key))?.meta
      const { bytes = 0, inodes = 0 } = meta ?? {}
      // An artifact cannot grow: nothing of it is available.
      return {
        bytes: { total: bytes, used: bytes, available: 0 },
        inodes: { total: inodes, used: inodes, available: 0 },
      }
    },
  }
}

/** What a volume shows once its lease is complete; undefined while nothing is known of it. */
function shownBy({ trees, views, writable = false, volumeId }: Lease): Sight | undefined {
  const [view] = views
  if (view !== undefined) return { kind: 'view', key: view, writable, volumeId }
  const [tree] = trees
  return tree === undefined ? undefined : { kind: 'tree', key: tree, writable, volumeId }
}

/** What is to be seen at a volume's target. */
interface Sight extends Pick<Shown, 'kind' | 'key'> {
  readonly writable: boolean
  readonly volumeId: string
}

/**
 * Answers whether just this is seen there: every bind of one directory has the same root in mountinfo, and an overlay the directories that it was
 * mounted with.
 */
function shows(mounts: readonly MountEntry[], { kind, key, writable, volumeId }: Sight): boolean {
  const top = mounts.at(-1)
  const place = `/${kind}s/${key}/root`
  if (!writable) return top?.root.endsWith(place) === true
  const { lower = '', upper = '' } = top?.overlay ?? {}
  return lower.endsWith(place) && isUpperOf(volumeId, upper)
}

/** The same, or what was this and has been moved to the trash since, because it was found damaged: the pod keeps what it has. */
function showsOrDid(mounts: readonly MountEntry[], shown: Sight): boolean {
  return (
    shows(mounts, shown) ||
    /\/trash\/[0-9a-f]{24}(?:\.[^/]+)?\/root$/.test(mounts.at(-1)?.root ?? '')
  )
}

/** What a file system has left may be less than the limit lets a volume take. */
function writableUsage(
  bytes: number,
  inodes: number,
  limitBytes: number,
  free: FreeSpace,
): VolumeUsage {
  return {
    bytes: {
      total: limitBytes,
      used: bytes,
      available: Math.max(0, Math.min(limitBytes - bytes, free.bytes)),
    },
    ...(Number.isFinite(free.inodes) && {
      inodes: { total: inodes + free.inodes, used: inodes, available: free.inodes },
    }),
  }
}

function conflict(volume: VolumeIdentity): CodedError {
  return new CodedError(
    'CONFLICT',
    `Cannot publish volume "${volume.id}": something else is mounted at "${volume.target}"; unpublish it first`,
  )
}

function isBelow(target: string, kubeletDirectory: string): boolean {
  return target.startsWith(`${kubeletDirectory}/`)
}

function misplaced(target: string, kubeletDirectory: string): CodedError {
  return new CodedError(
    'INVALID',
    `Invalid target_path "${target}": not below the kubelet's root "${kubeletDirectory}", so no pod would see the mount; set the driver's --kubelet-directory to the kubelet's --root-dir`,
  )
}

async function makeTarget(target: string): Promise<void> {
  try {
    await mkdir(target, { mode: 0o750 })
  } catch (error) {
    if (!isSystemError(error, 'EEXIST')) throw error
  }
}

/** Never recursive: a directory that is not empty holds somebody's files. */
async function removeTarget(target: string): Promise<void> {
  try {
    await rmdir(target)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return
    throw new CodedError(
      'UNAVAILABLE',
      `Cannot remove the target directory "${target}": ${messageOf(error)}`,
      { cause: error },
    )
  }
}

import { mkdir, rmdir } from 'node:fs/promises'
import { CodedError, isCodedError, isSystemError, messageOf } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import { createKeyedLock } from '../keyed-lock.ts'
import type { Puller } from '../pull/puller.ts'
import { reachStage } from '../pull/stages.ts'
import type { ViewMaker } from '../pull/view-maker.ts'
import type { Lease } from '../store/leases.ts'
import type { Store } from '../store/store.ts'
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

/** What a volume uses, for the kubelet's statistics. */
export interface VolumeUsage {
  readonly bytes: number
  readonly inodes: number
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

/** Says whether the admin lets a volume be published; throws DENIED when not. */
export interface VolumePolicy {
  check(volume: Volume): Promise<void>
}

export function createPublisher(options: {
  readonly store: Store
  readonly puller: Puller
  readonly viewMaker: ViewMaker
  readonly mounter: Mounter
  readonly policy: VolumePolicy
  readonly log: Logger
  /** The kubelet's root: mounts elsewhere would reach no pod. */
  readonly kubeletDirectory: string
}): Publisher {
  const { store, puller, viewMaker, mounter, policy, log, kubeletDirectory } = options
  const volumes = createKeyedLock()
  const storeOf = ({ kind }: Pick<Shown, 'kind'>) => (kind === 'tree' ? store.trees : store.views)

  const isPublished = async (wanted: VolumeIdentity, lease: Lease) => {
    const shown = shownBy(lease)
    return (
      lease.requestHash === wanted.requestHash &&
      shown !== undefined &&
      shows(await mounter.mountsAt(wanted.target), shown)
    )
  }

  /** Pulls and mounts; `takeBack` is told how to end what was mounted, before it is. */
  const show = async (
    request: PublishRequest,
    signal: AbortSignal,
    takeBack: (undo: () => Promise<void>) => void,
  ) => {
    // 2. What is asked for, and whether the admin lets it be.
    const volume = parseVolume(request)
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
      bootId: store.bootId,
    })

    // 4. Each source: resolve, authorize, ensure the tree. The view of them. What the pod will mount of it.
    const content = await ensureContent(volume, { puller, viewMaker, lease, signal })
    checkSubPaths(content.root, volume.spec.subPaths)

    // 5. Mount, and look at mountinfo. A mount that no lease knew of is taken up.
    const mounts = await mounter.mountsAt(volume.target)
    if (!shows(mounts, content)) {
      if (mounts.length > 0) throw conflict(volume)
      // The caller may have given up and told others that the volume is gone.
      signal.throwIfAborted()
      takeBack(async () => {
        await mounter.unmountAll(volume.target)
        await removeTarget(volume.target)
      })
      await makeTarget(volume.target)
      await mounter.mountReadOnly(content.root, volume.target)
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
        if ((await mounter.mountsAt(before.value.target)).length > 0) throw conflict(wanted)
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
          await store.leases.remove(wanted.id)
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
      if ((await mounter.mountsAt(target)).length > 0) {
        if (!isBelow(target, kubeletDirectory)) throw misplaced(target, kubeletDirectory)
        await mounter.unmountAll(target)
      }
      if (isBelow(target, kubeletDirectory)) await removeTarget(target)
      try {
        const lease = await store.leases.get(volumeId)
        const elsewhere =
          lease.state === 'ok' &&
          lease.value.target !== target &&
          (await mounter.mountsAt(lease.value.target)).length > 0
        if (!elsewhere) await store.leases.remove(volumeId)
      } catch (error) {
        // The pod can end; the next start of the driver drops a lease whose volume is not mounted.
        log.error({ error, volume: volumeId }, 'cannot drop the lease of an unpublished volume')
      }
    },

    async usage(volumeId, path) {
      const lease = await store.leases.get(volumeId)
      if (lease.state !== 'ok' || lease.value.target !== path || !lease.value.mounted) {
        throw new CodedError('NOT_FOUND', `Volume "${volumeId}" is not published at "${path}"`)
      }
      const shown = shownBy(lease.value)
      const meta = shown && (await storeOf(shown).get(shown.key))?.meta
      return { bytes: meta?.bytes ?? 0, inodes: meta?.inodes ?? 0 }
    },
  }
}

/** What a volume shows once its lease is complete; undefined while nothing is known of it. */
function shownBy({ trees, views }: Lease): Pick<Shown, 'kind' | 'key'> | undefined {
  const [view] = views
  if (view !== undefined) return { kind: 'view', key: view }
  const [tree] = trees
  return tree === undefined ? undefined : { kind: 'tree', key: tree }
}

/** Answers whether just this is seen there: every bind of one directory has the same root in mountinfo. */
function shows(mounts: readonly MountEntry[], { kind, key }: Pick<Shown, 'kind' | 'key'>): boolean {
  return mounts.at(-1)?.root.endsWith(`/${kind}s/${key}/root`) === true
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

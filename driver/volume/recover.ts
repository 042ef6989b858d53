import type { Logger } from '../../common/log.ts'
import type { Store } from '../store/store.ts'
import type { Mounter } from './mounter.ts'

/**
 * Brings leases and mounts together after a start. A restart of the driver never unmounts a running pod's volume; a reboot of the node has
 * ended every mount, so a lease of another boot whose target shows nothing is dropped; so is one whose volume was unmounted while
 * the lease could not be removed. A lease of a publish under way stays: the kubelet comes again, or unpublishes.
 */
export async function recoverLeases(options: {
  readonly store: Store
  readonly mounter: Mounter
  readonly log: Logger
}): Promise<void> {
  const { store, mounter, log } = options
  const { leases, broken } = await store.leases.list()
  let kept = 0
  let dropped = 0
  for (const lease of leases) {
    const isMounted = (await mounter.mountsAt(lease.target)).length > 0
    if (!isMounted && (lease.bootId !== store.bootId || lease.mounted)) {
      await store.leases.remove(lease.volumeId)
      dropped += 1
    } else {
      kept += 1
    }
  }
  for (const file of broken) {
    log.warn({ file }, 'a lease does not parse; its volume is made out again at the next publish')
  }
  log.info({ kept, dropped, broken: broken.length }, 'recovered leases')
}

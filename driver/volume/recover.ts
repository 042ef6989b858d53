import type { Logger } from '../../common/log.ts'
import type { Store } from '../store/store.ts'
import type { Mounter } from './mounter.ts'

/**
 * Drops the leases that a reboot of the node has made stale: it has ended every mount. A restart of the driver changes nothing: mounts stay, and so do the
 * leases of this boot, mounted or not; what has become of their pods is found out later, see `startReaper`.
 */
export async function recoverLeases(options: {
  readonly store: Pick<Store, 'leases' | 'otherLeases' | 'bootId'>
  readonly mounter: Pick<Mounter, 'isMounted'>
  readonly log: Logger
}): Promise<void> {
  const { store, mounter, log } = options
  let kept = 0
  let dropped = 0
  let unreadable = 0
  for (const held of [store.leases, ...store.otherLeases]) {
    const { leases, broken } = await held.list()
    for (const lease of leases) {
      const isStale = lease.bootId !== store.bootId && !(await mounter.isMounted(lease.target))
      if (isStale) {
        await held.remove(lease.volumeId)
        dropped += 1
      } else {
        kept += 1
      }
    }
    for (const file of broken) {
      log.warn({ file }, 'a lease does not parse; its volume is made out again at the next publish')
    }
    unreadable += broken.length
  }
  log.info({ kept, dropped, broken: unreadable }, 'recovered leases')
}

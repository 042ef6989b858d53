import type { Lease, LeaseStore } from '../store/leases.ts'

/** Keeps the lease of one volume while several things find out at once what it has to hold. */
export interface LeaseWriter {
  readonly lease: Lease
  /**
   * Changes the lease. Resolves when it is on disk with this change: changes made while one is being written are written together, never
   * an older state over a newer one.
   */
  change(update: (lease: Lease) => Lease): Promise<void>
}

/** Writes nothing yet. */
export function createLeaseWriter(leases: Pick<LeaseStore, 'put'>, first: Lease): LeaseWriter {
  let lease = first
  let last: Promise<void> = Promise.resolve()
  let queued: Promise<void> | undefined

  const write = () => {
    queued = undefined
    return leases.put(lease)
  }
  return {
    get lease() {
      return lease
    },
    change(update) {
      lease = update(lease)
      if (queued === undefined) {
        queued = last.then(write)
        last = queued.catch(() => undefined)
      }
      return queued
    },
  }
}

import type { Lease } from '../leases.ts'
import type { Item } from './plan-eviction.ts'

/** What of the store volumes use. */
export interface InUse {
  /** Of trees, what they have alone and the blobs that are files of theirs; a blob of several counts once. */
  readonly bytes: number
  /** The largest first. */
  readonly trees: readonly TreeInUse[]
  /** How many pods use them. */
  readonly pods: number
}

export interface TreeInUse {
  readonly key: string
  readonly bytes: number
  /** Of pods that may be another tenant's: for the log, never for an answer. */
  readonly leases: readonly Lease[]
}

/** Finds out what the leases hold of what is there. */
export function findInUse(items: readonly Item[], leases: readonly Lease[]): InUse {
  const byTree = new Map<string, Lease[]>()
  for (const lease of leases) {
    for (const key of new Set(lease.trees)) {
      const users = byTree.get(key)
      if (users === undefined) byTree.set(key, [lease])
      else users.push(lease)
    }
  }
  const linked = new Map<string, number>()
  for (const { kind, key, bytes, isLinked } of items) {
    if (kind === 'blob' && isLinked === true) linked.set(key, bytes)
  }
  const pods = new Set<string>()
  const trees: TreeInUse[] = []
  for (const { kind, key, bytes, uses } of items) {
    const users = kind === 'tree' ? byTree.get(key) : undefined
    if (users === undefined) continue
    for (const { pod } of users) pods.add(pod.uid)
    let sum = bytes
    for (const digest of uses) {
      sum += linked.get(digest) ?? 0
      linked.delete(digest)
    }
    trees.push({ key, bytes: sum, leases: users })
  }
  trees.sort((a, b) => b.bytes - a.bytes)
  return { bytes: trees.reduce((sum, tree) => sum + tree.bytes, 0), trees, pods: pods.size }
}

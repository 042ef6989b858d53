import type { Item } from './plan-eviction.ts'

/**
 * Decides what an admin's prune removes: everything that is not held and was last used long enough ago. Pure.
 *
 * What would make no room stays: a tree that a view which stays shares its files with, and a blob that is a file of a tree which stays.
 *
 * @param options.items everything in the store
 * @param options.held keys and digests that stay
 * @param options.usedBefore milliseconds since the epoch
 * @returns views before their trees, trees before their blobs
 */
export function planPrune(options: {
  readonly items: readonly Item[]
  readonly held: ReadonlySet<string>
  readonly usedBefore: number
}): readonly Item[] {
  const { items, usedBefore } = options
  const pruned: Item[] = []
  /** By those that stay; of trees the blobs, which need not be files of theirs. */
  const used = { view: new Set<string>(), tree: new Set<string>() }
  const isFree = ({ kind, key, usedMs, isLinked }: Item) => {
    if (options.held.has(key) || usedMs >= usedBefore) return false
    if (kind === 'tree') return !used.view.has(key)
    return kind !== 'blob' || isLinked !== true || !used.tree.has(key)
  }
  for (const kind of ORDER) {
    for (const item of items) {
      if (item.kind !== kind) continue
      if (isFree(item)) pruned.push(item)
      else if (kind === 'view' || kind === 'tree') for (const key of item.uses) used[kind].add(key)
    }
  }
  return pruned
}

const ORDER = ['view', 'tree', 'blob', 'ingest'] as const satisfies readonly Item['kind'][]

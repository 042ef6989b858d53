import type { FreeSpace } from '../../linux/free-space.ts'
import type { Size } from '../trash.ts'
import { createGoals, type Goal, type Marks, type WantedRoom } from './goals.ts'
import { leastFirst } from './least-first.ts'

/** Something of the store that could go. */
export interface Item extends Size {
  readonly kind: 'tree' | 'view' | 'blob' | 'ingest'
  /** Of a blob its digest, of a download its file. `bytes` and `inodes` are what it has alone. */
  readonly key: string
  /** Milliseconds since the epoch. */
  readonly usedMs: number
  /** Of a tree the blobs, of a view the trees that it shares files with. */
  readonly uses: readonly string[]
  /** Of a blob: a tree or view has it as a file, so that only both together make room. */
  readonly isLinked?: boolean
}

export interface EvictionPlan {
  /** In order. */
  readonly evict: readonly { readonly item: Item; readonly goal: Goal }[]
  /** What was wanted and cannot be had: of the marks, when even the high one stays exceeded. */
  readonly unreachable: readonly Goal[]
}

/**
 * Decides what goes, least recently used first. Pure.
 *
 * Blobs that no tree has as a file go first, and downloads that were given up: they only help whoever comes for them again. A blob that is a file of trees goes with the
 * last of them, and a view with the first of its trees.
 *
 * @param options.space what is free, counting as free what the trash still holds
 * @param options.items everything in the store
 * @param options.held keys and digests that stay whatever happens; so do the trees of a held view
 */
export function planEviction(options: {
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly space: FreeSpace
  readonly items: readonly Item[]
  readonly held: ReadonlySet<string>
  readonly marks: Marks
  readonly room?: WantedRoom
}): EvictionPlan {
  const { now, items, held, marks } = options
  const isFree = ({ key, usedMs }: Item) => usedMs <= now - marks.minAgeMs && !held.has(key)
  const shares = sharesOf(items, isFree)
  const goals = createGoals({ ...options, stored: sizeOf(items).bytes })
  const gone = new Set<Item>()

  /** What goes together with an item: views with their tree, a blob with the last tree that has it. */
  const groupOf = (item: Item): readonly Item[] => {
    if (item.kind !== 'tree') return [item]
    const views = shares.viewsOf.get(item.key)?.filter((view) => !gone.has(view)) ?? []
    const group = [...views, item]
    for (const digest of distinct(item.uses)) {
      const shared = shares.linked.get(digest)
      if (shared?.usersLeft === 1 && isFree(shared.blob)) group.push(shared.blob)
    }
    return group
  }

  /** What going brings nearer, if not at once: a blob that a younger tree has, too, goes only with both. */
  const promiseOf = (item: Item, size: Size): Size => {
    if (item.kind !== 'tree' || size.bytes > 0) return size
    const isPromised = item.uses.some((digest) => shares.linked.get(digest)?.isStuck === false)
    return isPromised ? { ...size, bytes: 1 } : size
  }

  const evict: { item: Item; goal: Goal }[] = []
  for (const item of candidates(items, shares, isFree)) {
    if (goals.areMet()) break
    if (gone.has(item)) continue
    const group = groupOf(item)
    const size = sizeOf(group)
    const goal = goals.servedBy(promiseOf(item, size))
    if (goal === undefined) continue
    for (const one of group) {
      gone.add(one)
      evict.push({ item: one, goal })
    }
    goals.take(size)
    if (item.kind !== 'tree') continue
    for (const digest of distinct(item.uses)) {
      const shared = shares.linked.get(digest)
      if (shared !== undefined) shared.usersLeft -= 1
    }
  }
  return { evict, unreachable: goals.unreachable() }
}

/** Keys without repeats: a manifest may name a blob twice. */
function distinct(keys: readonly string[]): readonly string[] {
  const [first, second] = keys
  // Most have one or two, and a set for each of ten thousand trees takes longer than all the rest.
  const isPlain = keys.length < 2 || (keys.length === 2 && first !== second)
  return isPlain ? keys : [...new Set(keys)]
}

function sizeOf(items: readonly Item[]): Size {
  let bytes = 0
  let inodes = 0
  for (const item of items) {
    bytes += item.bytes
    inodes += item.inodes
  }
  return { bytes, inodes }
}

interface Shares {
  readonly viewsOf: ReadonlyMap<string, readonly Item[]>
  /** Blobs that are files of trees, by digest. */
  readonly linked: ReadonlyMap<string, LinkedBlob>
}

interface LinkedBlob {
  readonly blob: Item
  /** How many trees have it that were not evicted. */
  usersLeft: number
  /** It cannot go, or one of its trees. */
  isStuck: boolean
}

function sharesOf(items: readonly Item[], isFree: (item: Item) => boolean): Shares {
  const viewsOf = new Map<string, Item[]>()
  const linked = new Map<string, LinkedBlob>()
  for (const item of items) {
    if (item.kind === 'blob' && item.isLinked === true) {
      linked.set(item.key, { blob: item, usersLeft: 0, isStuck: !isFree(item) })
    } else if (item.kind === 'view') {
      for (const key of distinct(item.uses)) {
        const found = viewsOf.get(key)
        if (found === undefined) viewsOf.set(key, [item])
        else found.push(item)
      }
    }
  }
  for (const item of items) {
    if (item.kind !== 'tree') continue
    const isStuck = !isFree(item) || viewsOf.get(item.key)?.every(isFree) === false
    for (const digest of distinct(item.uses)) {
      const shared = linked.get(digest)
      if (shared === undefined) continue
      shared.usersLeft += 1
      if (isStuck) shared.isStuck = true
    }
  }
  return { viewsOf, linked }
}

/** The order of eviction. */
function* candidates(
  items: readonly Item[],
  { viewsOf }: Shares,
  isFree: (item: Item) => boolean,
): Generator<Item, void> {
  const idle: Item[] = []
  const shown: { readonly item: Item; readonly usedMs: number }[] = []
  for (const item of items) {
    if (!isFree(item)) continue
    if (item.kind === 'blob' || item.kind === 'ingest') {
      if (item.isLinked !== true) idle.push(item)
      continue
    }
    const views = item.kind === 'tree' ? viewsOf.get(item.key) : undefined
    if (views === undefined) shown.push({ item, usedMs: item.usedMs })
    else if (views.every(isFree)) {
      // Whoever uses a view uses its trees; and as long as it is there, so are the files that it shares with them.
      shown.push({ item, usedMs: Math.max(item.usedMs, ...views.map(({ usedMs }) => usedMs)) })
    }
  }
  yield* leastFirst(idle, (a, b) => a.usedMs - b.usedMs)
  const order = leastFirst(shown, (a, b) => a.usedMs - b.usedMs || rank(a.item) - rank(b.item))
  for (const { item } of order) yield item
}

/** A view before its trees, where both were used last by the same volume. */
function rank({ kind }: Item): number {
  return kind === 'view' ? 0 : 1
}

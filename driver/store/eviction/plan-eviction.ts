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
  const goals = createGoals({ ...options, stored: sizeOf(items).bytes })
  const { idle, shown, viewsOf, linked } = findCandidates(items, isFree)
  const gone = new Set<Item>()
  const evict: { item: Item; goal: Goal }[] = []

  /** What goes together: views with their tree, a blob with the last tree that has it. */
  const groupOf = (item: Item, blobs: readonly LinkedBlob[]): readonly Item[] => {
    const views = viewsOf.get(item.key)?.filter((view) => !gone.has(view)) ?? []
    const last = blobs.filter((blob) => blob.usersLeft === 1 && isFree(blob.item))
    return [...views, item, ...last.map((blob) => blob.item)]
  }

  /** Answers whether enough has gone. */
  const consider = (item: Item): boolean => {
    if (goals.areMet()) return true
    if (gone.has(item)) return false
    const blobs = item.kind === 'tree' ? linkedBy(item, linked) : []
    const group = item.kind === 'tree' ? groupOf(item, blobs) : [item]
    const size = sizeOf(group)
    // A blob that a younger tree has, too, goes only with both: that brings something nearer, if not at once.
    const isPromised = size.bytes === 0 && blobs.some(({ isStuck }) => !isStuck)
    const goal = goals.servedBy(isPromised ? { ...size, bytes: 1 } : size)
    if (goal === undefined) return false
    for (const one of group) {
      gone.add(one)
      evict.push({ item: one, goal })
    }
    goals.take(size)
    for (const blob of blobs) blob.usersLeft -= 1
    return false
  }
  for (const { item } of leastFirst(idle, byUse)) if (consider(item)) break
  for (const { item } of leastFirst(shown, byUse)) if (consider(item)) break
  return { evict, unreachable: goals.unreachable() }
}

/** Something that could go. */
interface Candidate {
  readonly item: Item
  /** When it was used last, by itself or by what is made of it. */
  readonly usedMs: number
}

/** A blob that is a file of trees. */
interface LinkedBlob {
  readonly item: Item
  /** How many trees have it that were not evicted. */
  usersLeft: number
  /** It cannot go, or one of its trees. */
  isStuck: boolean
}

interface Candidates {
  /** Blobs that no tree has as a file, and downloads that were given up. */
  readonly idle: readonly Candidate[]
  readonly shown: readonly Candidate[]
  /** By the key of a tree, those that are made of it. */
  readonly viewsOf: ReadonlyMap<string, readonly Item[]>
  readonly linked: ReadonlyMap<string, LinkedBlob>
}

function findCandidates(items: readonly Item[], isFree: (item: Item) => boolean): Candidates {
  const idle: Candidate[] = []
  const shown: Candidate[] = []
  const viewsOf = new Map<string, Item[]>()
  const linked = new Map<string, LinkedBlob>()
  for (const item of items) {
    switch (item.kind) {
      case 'blob':
        if (item.isLinked === true) {
          linked.set(item.key, { item, usersLeft: 0, isStuck: !isFree(item) })
        } else if (isFree(item)) idle.push({ item, usedMs: item.usedMs })
        break
      case 'ingest':
        if (isFree(item)) idle.push({ item, usedMs: item.usedMs })
        break
      case 'view':
        for (const key of distinct(item.uses)) {
          const found = viewsOf.get(key)
          if (found === undefined) viewsOf.set(key, [item])
          else found.push(item)
        }
        if (isFree(item)) shown.push({ item, usedMs: item.usedMs })
        break
      case 'tree':
        break
    }
  }
  for (const item of items) {
    if (item.kind !== 'tree') continue
    const views = viewsOf.get(item.key) ?? []
    // As long as a view is there, so are the files that it shares with its trees.
    const isStuck = !isFree(item) || !views.every(isFree)
    for (const blob of linkedBy(item, linked)) {
      blob.usersLeft += 1
      if (isStuck) blob.isStuck = true
    }
    if (isStuck) continue
    // Whoever uses a view uses its trees.
    const usedMs = views.reduce((last, view) => Math.max(last, view.usedMs), item.usedMs)
    shown.push({ item, usedMs })
  }
  return { idle, shown, viewsOf, linked }
}

const NO_BLOBS: readonly LinkedBlob[] = []

function linkedBy({ uses }: Item, linked: ReadonlyMap<string, LinkedBlob>): readonly LinkedBlob[] {
  const [only] = uses
  if (only === undefined) return NO_BLOBS
  if (uses.length === 1) {
    const blob = linked.get(only)
    return blob === undefined ? NO_BLOBS : [blob]
  }
  return distinct(uses).flatMap((digest) => linked.get(digest) ?? [])
}

/** A view before its trees, where both were used last by the same volume. */
function byUse(a: Candidate, b: Candidate): number {
  return a.usedMs - b.usedMs || rank(a.item) - rank(b.item)
}

function rank({ kind }: Item): number {
  return kind === 'view' ? 0 : 1
}

/** Keys without repeats: a manifest may name a blob twice. */
function distinct(keys: readonly string[]): readonly string[] {
  return keys.length < 2 ? keys : [...new Set(keys)]
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

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
  const gone = new Set<Item>()
  const evict: { item: Item; goal: Goal }[] = []
  for (const candidate of inOrder(findCandidates(items, isFree))) {
    if (goals.areMet()) break
    if (gone.has(candidate.item)) continue
    const group = groupOf(candidate, gone)
    const size = sizeOf(group)
    const goal = goals.servedBy(promiseOf(candidate, size))
    if (goal === undefined) continue
    for (const item of group) {
      gone.add(item)
      evict.push({ item, goal })
    }
    goals.take(size)
    for (const blob of candidate.linked) blob.usersLeft -= 1
  }
  return { evict, unreachable: goals.unreachable() }
}

/** Something that could go, and what it shares with others. */
interface Candidate {
  readonly item: Item
  /** When it was used last, by itself or by what is made of it. */
  readonly usedMs: number
  /** Of a tree: those that are made of it. */
  readonly views: readonly Item[]
  /** Of a tree: the blobs that are its files. */
  readonly linked: readonly LinkedBlob[]
}

/** A blob that is a file of trees. */
interface LinkedBlob {
  readonly item: Item
  readonly isFree: boolean
  /** How many trees have it that were not evicted. */
  usersLeft: number
  /** It cannot go, or one of its trees. */
  isStuck: boolean
}

interface Candidates {
  /** Blobs that no tree has as a file, and downloads that were given up. */
  readonly idle: readonly Candidate[]
  readonly shown: readonly Candidate[]
}

const NO_ITEMS: readonly Item[] = []
const NO_BLOBS: readonly LinkedBlob[] = []

function findCandidates(items: readonly Item[], isFree: (item: Item) => boolean): Candidates {
  const idle: Candidate[] = []
  const shown: Candidate[] = []
  const viewsOf = new Map<string, Item[]>()
  const linked = new Map<string, LinkedBlob>()
  const alone = (item: Item): Candidate => {
    const { usedMs } = item
    return { item, usedMs, views: NO_ITEMS, linked: NO_BLOBS }
  }
  for (const item of items) {
    switch (item.kind) {
      case 'blob':
        if (item.isLinked === true) {
          const free = isFree(item)
          linked.set(item.key, { item, isFree: free, usersLeft: 0, isStuck: !free })
        } else if (isFree(item)) idle.push(alone(item))
        break
      case 'ingest':
        if (isFree(item)) idle.push(alone(item))
        break
      case 'view':
        for (const key of distinct(item.uses)) {
          const found = viewsOf.get(key)
          if (found === undefined) viewsOf.set(key, [item])
          else found.push(item)
        }
        if (isFree(item)) shown.push(alone(item))
        break
      case 'tree':
        break
    }
  }
  for (const item of items) {
    if (item.kind !== 'tree') continue
    const views = viewsOf.get(item.key) ?? NO_ITEMS
    const blobs = linkedBy(item, linked)
    for (const blob of blobs) blob.usersLeft += 1
    // As long as a view is there, so are the files that it shares with its trees.
    if (isFree(item) && views.every(isFree)) {
      // Whoever uses a view uses its trees.
      const usedMs = views.reduce((last, view) => Math.max(last, view.usedMs), item.usedMs)
      shown.push({ item, usedMs, views, linked: blobs })
    } else for (const blob of blobs) blob.isStuck = true
  }
  return { idle, shown }
}

function linkedBy({ uses }: Item, linked: ReadonlyMap<string, LinkedBlob>): readonly LinkedBlob[] {
  let blobs: LinkedBlob[] | undefined
  for (const digest of distinct(uses)) {
    const blob = linked.get(digest)
    if (blob === undefined) continue
    blobs ??= []
    blobs.push(blob)
  }
  return blobs ?? NO_BLOBS
}

function* inOrder({ idle, shown }: Candidates): Generator<Candidate, void> {
  yield* leastFirst(idle, (a, b) => a.usedMs - b.usedMs)
  yield* leastFirst(shown, (a, b) => a.usedMs - b.usedMs || rank(a.item) - rank(b.item))
}

/** A view before its trees, where both were used last by the same volume. */
function rank({ kind }: Item): number {
  return kind === 'view' ? 0 : 1
}

/** What goes together: views with their tree, a blob with the last tree that has it. */
function groupOf({ item, views, linked }: Candidate, gone: ReadonlySet<Item>): readonly Item[] {
  const last = linked.filter(({ usersLeft, isFree }) => usersLeft === 1 && isFree)
  return [...views.filter((view) => !gone.has(view)), item, ...last.map((blob) => blob.item)]
}

/** What going brings nearer, if not at once: a blob that a younger tree has, too, goes only with both. */
function promiseOf({ linked }: Candidate, size: Size): Size {
  const isPromised = size.bytes === 0 && linked.some(({ isStuck }) => !isStuck)
  return isPromised ? { ...size, bytes: 1 } : size
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

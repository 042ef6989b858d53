import type { Logger } from '../../../common/log.ts'
import { rejectOnAbort } from '../../keyed-lock.ts'
import { type FreeSpace, readFreeSpace } from '../../linux/free-space.ts'
import type { Lease } from '../leases.ts'
import type { Store } from '../store.ts'
import type { Size } from '../trash.ts'
import { evictItem, ownSize, surveyContent } from './content-survey.ts'
import type { Goal, Marks, WantedRoom } from './goals.ts'
import { findInUse } from './in-use.ts'
import { noRoom } from './no-room.ts'
import { type EvictionPlan, type Item, planEviction } from './plan-eviction.ts'
import { planPrune } from './plan-prune.ts'
import { addSizes, hasRoom, keptFree, type Reserve, SMALL_SHARE } from './room.ts'

/** What an admin says about the store's size. */
export interface EvictionLimits extends Marks, Reserve {}

/** Room that a pull needs. */
export interface RoomRequest {
  /** Begins the message of a refusal, e.g. `Cannot pull "ghcr.io/acme/app:v1"`. */
  readonly subject: string
  /** Of what is pulled: who failed for want of space before is given more. */
  readonly key: string
  /** What the pull will certainly write. */
  readonly certain: Size
  /** What it may write on top, as far as can be told from the manifest. */
  readonly estimated: Size
  /** How many bytes it has written so far, which need not be kept free any more; default 0. */
  readonly written?: () => number
}

/** Keeps the store within its bounds. The disposal waits for what runs. */
export interface Evictor extends AsyncDisposable {
  /** Evicts when a mark is exceeded, or what the store may have; looks only at the file system when nothing is. Never throws. */
  check(): Promise<void>

  /**
   * Makes sure that there is room for a pull, evicting what nothing needs. The answer keeps others from counting on the same room until it is
   * disposed of, when the pull has ended.
   *
   * @throws EXHAUSTED when not even what is certain fits, saying what is needed, what there is and what holds the rest
   */
  makeRoom(request: RoomRequest): Promise<Disposable>

  /** To be told when a pull for which room was made found the file system full: the next try is given more. */
  ranOut(key: string): void

  /** To be told when anything else found the file system full: makes a little room. Never throws. */
  relieve(): Promise<void>

  /** Evicts things that are too old to be of use, whatever room there is. */
  evictUnused(isUnused: (item: Item) => boolean): Promise<void>

  /**
   * Evicts, because an admin says so, everything that is not needed and was last used before a moment, in milliseconds since the epoch. The files are deleted
   * in the background.
   *
   * @returns what is gone, or would be
   */
  prune(options: {
    readonly usedBefore: number
    readonly isDryRun: boolean
  }): Promise<readonly Item[]>

  /** What the last eviction could not reach. */
  readonly unreachable: readonly Goal[]
}

/** Told what was evicted. */
export type OnEvicted = (item: Item, goal: EvictionReason) => void

export type EvictionReason = Goal | 'age' | 'admin'

/** What something that is no pull may need: a lease, a record, a view's directories. */
const RELIEF: Size = { bytes: 64 * 1024 ** 2, inodes: 5_000 }
/** With each failure more, so that the kubelet's next tries get somewhere; inodes are the worse guess. */
const GROWTH = { bytes: 2, inodes: 4 }
/** How long the trash is emptied before anything else goes: a tree of gigabytes takes a second, one of a million files a minute. */
const TRASH_PATIENCE_MS = 5_000
/** How many pulls that failed are remembered. */
const MAX_REMEMBERED = 1_000

export function createEvictor(options: {
  readonly store: Store
  readonly limits: EvictionLimits
  readonly log: Logger
  /** The keys of trees and views that mounts show, with or without a lease. */
  readonly mountedKeys: () => ReadonlySet<string>
  readonly onEvicted?: OnEvicted
  /** Fires when the driver stops: nobody waits for room any more. */
  readonly signal: AbortSignal
  /** Milliseconds since the epoch. */
  readonly now?: () => number
  readonly readSpace?: (directory: string) => FreeSpace
}): Evictor {
  const { store, limits, log, mountedKeys, onEvicted, signal, now = Date.now } = options
  const readSpace = () => (options.readSpace ?? readFreeSpace)(store.directory)
  /** One at a time: two would count on the same trees. */
  let running: Promise<unknown> = Promise.resolve()
  let unreachable: readonly Goal[] = []
  /** Of the pulls that run: what they are to write, at most. */
  const reserved = new Set<Reservation>()
  const failures = new Map<string, number>()

  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = running.then(work)
    running = turn.catch(() => undefined)
    return turn
  }

  /** What the pulls that run will still write, or may. */
  const awaited = (what: 'certain' | 'likely'): Size =>
    [...reserved].reduce(
      (sum, { [what]: size, written }) =>
        addSizes(sum, { ...size, bytes: Math.max(0, size.bytes - written()) }),
      NO_SIZE,
    )

  const look = async (): Promise<Found> => {
    const items = await surveyContent(store)
    const { leases } = await store.leases.list()
    const held = new Set<string>(mountedKeys())
    for (const { trees, views } of leases) {
      for (const key of trees) held.add(key)
      for (const key of views) held.add(key)
    }
    for (const { key } of items) if (store.isHeld(key)) held.add(key)
    // What is in the trash is as good as gone.
    const trash = await store.trash.usage()
    return { items, leases, held, trash }
  }

  const plan = (
    found: Found,
    wanted?: { readonly room: WantedRoom; readonly minAgeMs: number },
  ) => {
    const { items, held, trash } = found
    const space = readSpace()
    return planEviction({
      ...{ items, held, now: now() },
      marks: {
        ...limits,
        minAgeMs: wanted?.minAgeMs ?? limits.minAgeMs,
        keepBytes: Math.min(limits.keepBytes, Math.floor(space.totalBytes * SMALL_SHARE)),
      },
      space: { ...space, ...addSizes(space, trash) },
      ...(wanted !== undefined && { room: wanted.room }),
    })
  }

  const evictAll = async (chosen: readonly { item: Item; goal: EvictionReason }[]) => {
    const gone = new Set<string>()
    /** Whose files are still shown, since something that shows them is needed after all: nothing would be gained. */
    const kept = new Set<string>()
    let bytes = 0
    for (const { item, goal } of chosen) {
      if (signal.aborted) break
      if (kept.has(item.key)) continue
      if (!(await evictItem(store, item))) {
        for (const key of item.uses) kept.add(key)
        continue
      }
      gone.add(item.key)
      bytes += item.bytes
      onEvicted?.(item, goal)
    }
    if (gone.size > 0) log.info({ count: gone.size, bytes, for: chosen[0]?.goal }, 'evicted')
    return gone
  }

  const noteUnreachable = (goals: readonly Goal[]) => {
    const isNews = goals.some((goal) => !unreachable.includes(goal))
    unreachable = goals
    if (isNews) log.warn({ goals }, 'cannot evict as much as is wanted: the rest is in use or kept')
  }

  const isExceeded = () => {
    if (limits.maxBytes !== undefined && knownBytes(store) > limits.maxBytes) return true
    const space = readSpace()
    const usedBytes = 1 - space.bytes / space.totalBytes
    const usedInodes = Number.isFinite(space.totalInodes) ? 1 - space.inodes / space.totalInodes : 0
    return usedBytes > limits.high || usedInodes > limits.high
  }

  /** Deletes what is in the trash already: of what a failed pull left there nobody knows how large it is. */
  const emptyTrash = (isEnough: () => boolean) => {
    const { promise: impatient, resolve: lose } = Promise.withResolvers<void>()
    const timer = setTimeout(lose, TRASH_PATIENCE_MS)
    // It goes on; what is hostile is not waited for.
    const emptied = store.trash.emptyNow(isEnough)
    return rejectOnAbort(Promise.race([emptied, impatient]), signal).finally(() =>
      clearTimeout(timer),
    )
  }

  const makeRoomInTurn = async (request: RoomRequest, likely: Size): Promise<void> => {
    const { certain } = request
    const hasLikely = () => hasRoom(readSpace(), addSizes(likely, awaited('likely')), limits)
    if (!hasLikely()) await emptyTrash(hasLikely)
    const found = await look()
    const pulled = [...reserved].reduce((sum, one) => sum + one.certain.bytes, 0)
    const planFor = (what: 'certain' | 'likely', minAgeMs: number) => {
      const size = what === 'certain' ? certain : likely
      const free = addSizes(addSizes(size, awaited(what)), keptFree(readSpace(), limits))
      return plan(found, { room: { free, added: size.bytes + pulled }, minAgeMs })
    }
    // 1. Whether it can be had at all: nobody makes the node forget everything by asking for what it will never have. A pod that waits
    // counts for more than what another may come back for soon.
    const choice = CHOICES.values()
      .map(({ what, isPatient }) => ({
        what,
        plan: planFor(what, isPatient ? limits.minAgeMs : 0),
      }))
      .find((one) => !one.plan.unreachable.some(isForRoom))
    if (choice === undefined) throw refuse(request, found, planFor('certain', 0))

    // 2. What is likely may be out of reach, and too much: what is certain goes first, and everything when that was not enough.
    const isGuess = choice.what === 'certain' && failures.has(request.key)
    await evictAll((isGuess ? planFor('likely', 0) : choice.plan).evict)

    // 3. What was evicted is still there.
    const size = choice.what === 'certain' && !isGuess ? certain : likely
    const isEnough = () => hasRoom(readSpace(), size, limits)
    if (!isEnough()) await rejectOnAbort(store.trash.emptyNow(isEnough), signal)
    if (!hasRoom(readSpace(), certain, limits)) throw refuse(request, await look(), NOTHING)
  }

  const refuse = (
    { subject, certain }: RoomRequest,
    { items, leases }: Found,
    possible: Pick<EvictionPlan, 'evict' | 'unreachable'>,
  ) => {
    const space = readSpace()
    const inUse = findInUse(items, leases)
    const evictable = possible.evict.reduce((sum, { item }) => addSizes(sum, item), NO_SIZE)
    log.warn({ subject, certain, space, evictable, inUse: forLog(inUse.trees) }, 'no room')
    const stored = items.reduce((sum, { bytes }) => sum + bytes, 0) - evictable.bytes
    const isOwnLimit = possible.unreachable.includes('max-store-bytes')
    return noRoom({
      ...{ subject, inUse, evictable, space },
      needed: certain,
      kept: keptFree(space, limits),
      ...(isOwnLimit &&
        limits.maxBytes !== undefined && { max: { bytes: limits.maxBytes, stored } }),
    })
  }

  return {
    async check() {
      try {
        if (!isExceeded()) {
          unreachable = []
          return
        }
        await inTurn(async () => {
          const { evict, unreachable: goals } = plan(await look())
          await evictAll(evict)
          noteUnreachable(goals)
        })
        void store.trash.empty()
      } catch (error) {
        if (!signal.aborted) log.error({ error }, 'cannot evict')
      }
    },

    async makeRoom(request) {
      const { key, certain, estimated, written = () => 0 } = request
      const failed = failures.get(key) ?? 0
      const likely = addSizes(certain, {
        bytes: estimated.bytes * GROWTH.bytes ** failed,
        inodes: estimated.inodes * GROWTH.inodes ** failed,
      })
      const needed = addSizes(likely, awaited('likely'))
      if (limits.maxBytes !== undefined || !hasRoom(readSpace(), needed, limits)) {
        await inTurn(() => makeRoomInTurn(request, likely))
      }
      const reservation: Reservation = { certain, likely, written }
      reserved.add(reservation)
      return { [Symbol.dispose]: () => void reserved.delete(reservation) }
    },

    ranOut(key) {
      const failed = failures.get(key) ?? 0
      failures.delete(key)
      failures.set(key, failed + 1)
      const [oldest] = failures.keys()
      if (failures.size > MAX_REMEMBERED && oldest !== undefined) failures.delete(oldest)
    },

    async relieve() {
      const isEnough = () => hasRoom(readSpace(), RELIEF, limits)
      if (isEnough()) return
      try {
        await emptyTrash(isEnough)
        if (isEnough()) return
        await inTurn(async () => {
          const free = addSizes(RELIEF, keptFree(readSpace(), limits))
          const { evict } = plan(await look(), { room: { free, added: 0 }, minAgeMs: 0 })
          await evictAll(evict)
        })
        await rejectOnAbort(store.trash.emptyNow(isEnough), signal)
      } catch (error) {
        if (!signal.aborted) log.error({ error }, 'cannot evict')
      }
    },

    evictUnused: (isUnused) =>
      inTurn(async () => {
        const { items, held } = await look()
        const unused = items.filter((item) => !held.has(item.key) && isUnused(item))
        await evictAll(unused.map((item) => ({ item, goal: 'age' })))
        void store.trash.empty()
      }),

    prune: ({ usedBefore, isDryRun }) =>
      inTurn(async () => {
        const chosen = planPrune({ ...(await look()), usedBefore })
        if (isDryRun) return chosen
        const gone = await evictAll(chosen.map((item) => ({ item, goal: 'admin' })))
        void store.trash.empty()
        return chosen.filter(({ key }) => gone.has(key))
      }),

    get unreachable() {
      return unreachable
    },

    async [Symbol.asyncDispose]() {
      await running
    },
  }
}

/** What a pull that runs was given. */
interface Reservation {
  readonly certain: Size
  readonly likely: Size
  readonly written: () => number
}

/** What there is, and what must stay. */
interface Found {
  readonly items: readonly Item[]
  readonly leases: readonly Lease[]
  readonly held: ReadonlySet<string>
  readonly trash: Size
}

/** In the order of liking. */
const CHOICES = [
  { what: 'likely', isPatient: true },
  { what: 'likely', isPatient: false },
  { what: 'certain', isPatient: true },
  { what: 'certain', isPatient: false },
] as const

const NO_SIZE: Size = { bytes: 0, inodes: 0 }
const NOTHING = { evict: [], unreachable: [] }

/** The marks are no reason to refuse a pull. */
function isForRoom(goal: Goal): boolean {
  return goal === 'room' || goal === 'max-store-bytes'
}

/** What the store has, as far as is known without a look at it. */
function knownBytes({ trees, views, blobs }: Store): number {
  let bytes = 0
  for (const { facts } of trees.known.values()) bytes += ownSize(facts).bytes
  for (const { facts } of views.known.values()) bytes += ownSize(facts).bytes
  for (const blob of blobs.known.values()) bytes += blob.bytes
  return bytes
}

/** How many of the largest the log names. */
const MAX_LOGGED = 10

function forLog(trees: ReturnType<typeof findInUse>['trees']) {
  return trees.slice(0, MAX_LOGGED).map(({ key, bytes, leases }) => ({
    ...{ tree: key, bytes },
    pods: leases.slice(0, MAX_LOGGED).map(({ pod }) => `${pod.namespace}/${pod.name}`),
  }))
}

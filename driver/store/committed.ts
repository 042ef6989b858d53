import { readdir, rename, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import pLimit from 'p-limit'
import { isSystemError } from '../../common/errors.ts'
import { createKeyedLock } from '../keyed-lock.ts'
import { reachStage, type Stage } from '../pull/stages.ts'
import type { Durability } from './durability.ts'
import { type RecordReader, readRecord } from './record.ts'
import { readSmallFile, writeSmallFile } from './small-file.ts'
import type { Trash } from './trash.ts'

/** When something was made, and whether it would survive a power cut. */
export interface CommitMark {
  readonly bootId: string
  readonly durable: boolean
}

/** A directory that is complete and never changed: `<key>/root/`, and in `<key>/meta.json` the facts about it. */
export interface Committed<Facts> {
  readonly key: string
  /** The directory to mount. */
  readonly root: string
  readonly meta: Facts & CommitMark
}

/** One of a store's directories, without a look into it. */
export interface Surveyed<Facts> {
  readonly key: string
  readonly facts: Facts
  /** When a volume last stopped using it, or it was made; milliseconds since the epoch. */
  readonly usedMs: number
}

/**
 * Complete directories by key, 64 lowercase hex characters. One that exists was built elsewhere and renamed into place together with its record.
 */
export interface CommittedStore<Facts> {
  /** Finds one; what a power cut may have damaged, or whose record does not parse, is moved to the trash and not found. */
  get(key: string): Promise<Committed<Facts> | undefined>

  /**
   * Makes what was built visible. `staging` holds it in `root/` and is gone afterwards. When another build of the same key was first, that one
   * stays and is returned, `isOurs` being false.
   */
  commit(
    key: string,
    staging: string,
    facts: Facts,
  ): Promise<{ readonly committed: Committed<Facts>; readonly isOurs: boolean }>

  /** Changes the record; does nothing when there is none. */
  change(key: string, update: (meta: Facts & CommitMark) => Facts & CommitMark): Promise<void>

  list(): Promise<readonly string[]>

  /**
   * Lists what is there. Records are read once in a process's life; the first time, what a power cut may have damaged goes to the trash, and what
   * an earlier process of this boot left unsynced is given to be synced.
   */
  survey(): Promise<readonly Surveyed<Facts>[]>

  /** What the last survey found and what has come or gone since, from memory. */
  readonly known: ReadonlyMap<string, Surveyed<Facts>>

  /** Notes that it is used now; does nothing when it is not there. */
  touch(key: string): Promise<void>

  /** Moves it to the trash unless something needs it. Whoever asks for it meanwhile waits. Answers whether it is gone. */
  evict(key: string): Promise<boolean>

  /**
   * Moves it to the trash whoever needs it, since it is damaged: mounts show it until they end, and who asks for it next makes it again. Answers
   * whether it was there.
   */
  quarantine(key: string): Promise<boolean>
}

/** How many records are read at once: four threads do it. */
const SURVEY_WIDTH = 16

export function createCommittedStore<Facts extends object>(options: {
  readonly directory: string
  readonly bootId: string
  readonly durability: Durability
  readonly trash: Trash
  /** Answers whether a lease or work that is under way needs a key. */
  readonly isHeld: (key: string) => boolean
  /** Reads the facts of a record, without the mark; throws when they are not what they should be. */
  readonly parse: (record: RecordReader) => Facts
  readonly stages?: { readonly recorded: Stage; readonly committed: Stage }
}): CommittedStore<Facts> {
  const { directory, bootId, durability, trash, isHeld, stages } = options
  const records = createKeyedLock()
  const metaPath = (key: string) => join(directory, key, 'meta.json')
  const parseMeta = (value: unknown) => parseMarked(value, options.parse)

  const known = new Map<string, Surveyed<Facts>>()
  const markLater = (key: string) =>
    durability.add(() => store.change(key, (found) => ({ ...found, durable: true })))

  /** To be called by who has the key's lock. */
  const find = async (key: string): Promise<Committed<Facts> | undefined> => {
    const meta = await readSmallFile(metaPath(key), parseMeta)
    if (meta.state === 'absent') return undefined
    if (meta.state === 'broken' || (!meta.value.durable && meta.value.bootId !== bootId)) {
      await discard(key)
      return undefined
    }
    return { key, root: join(directory, key, 'root'), meta: meta.value }
  }

  const discard = async (key: string) => {
    known.delete(key)
    await trash.take(join(directory, key))
  }

  /** Reads the record of a directory that was listed and is not known. */
  const look = async (key: string): Promise<void> => {
    using _ = await records.acquire(key)
    const found = await find(key)
    // Perhaps it has just gone; if not, it is of no use without a record.
    if (found === undefined) return discard(key)
    known.set(key, { key, facts: found.meta, usedMs: await modifiedMs(join(directory, key)) })
    if (!found.meta.durable) markLater(key)
  }

  /** Puts what was built in its place. Answers whether it did; not when another build was first. */
  const place = async (key: string, staging: string, facts: Facts) => {
    using _ = await records.acquire(key)
    if ((await find(key)) !== undefined) {
      await trash.take(staging)
      return false
    }
    // A directory of that name without a usable record would be in the way.
    await discard(key)
    await rename(staging, join(directory, key))
    known.set(key, { key, facts, usedMs: Date.now() })
    return true
  }

  const store: CommittedStore<Facts> = {
    async get(key) {
      // Not while it may be put back, see `evict`.
      using _ = await records.acquire(key)
      return find(key)
    },

    async commit(key, staging, facts) {
      const mark: CommitMark = { bootId, durable: false }
      await writeSmallFile(join(staging, 'meta.json'), JSON.stringify({ ...facts, ...mark }))
      if (stages !== undefined) reachStage(stages.recorded)
      const isOurs = await place(key, staging, facts)
      if (isOurs) {
        if (stages !== undefined) reachStage(stages.committed)
        markLater(key)
      }
      const committed = await store.get(key)
      if (committed === undefined) throw new Error(`${key} is gone right after its commit`)
      return { committed, isOurs }
    },

    async change(key, update) {
      using _ = await records.acquire(key)
      const meta = await readSmallFile(metaPath(key), parseMeta)
      if (meta.state === 'ok')
        await writeSmallFile(metaPath(key), JSON.stringify(update(meta.value)))
    },

    list: async () => (await readdir(directory)).filter((name) => /^[0-9a-f]{64}$/.test(name)),

    known,

    async survey() {
      const keys = await store.list()
      const turns = pLimit(SURVEY_WIDTH)
      await Promise.all(keys.filter((key) => !known.has(key)).map((key) => turns(look, key)))
      const listed = new Set(keys)
      // Those that somebody else removed. What was committed since the listing is asked for.
      for (const key of [...known.keys()]) {
        if (!listed.has(key) && (await store.get(key)) === undefined) known.delete(key)
      }
      return [...known.values()]
    },

    async touch(key) {
      const found = known.get(key)
      const usedMs = Date.now()
      if (found !== undefined) known.set(key, { ...found, usedMs })
      try {
        await utimes(join(directory, key), usedMs / 1_000, usedMs / 1_000)
      } catch (error) {
        if (!isSystemError(error, 'ENOENT')) throw error
      }
    },

    async evict(key) {
      // Whoever needs it has said so before he asks for it: either that is seen here, or he finds nothing and makes it again.
      using _ = await records.acquire(key)
      if (isHeld(key)) return false
      const isGone = await trash.takeUnless(join(directory, key), () => isHeld(key))
      if (isGone) known.delete(key)
      return isGone
    },

    async quarantine(key) {
      using _ = await records.acquire(key)
      if ((await find(key)) === undefined) return false
      await discard(key)
      return true
    },
  }
  return store
}

/** Reads `meta.json`. @throws TypeError when it is not what it should be */
export function parseMarked<Facts extends object>(
  value: unknown,
  parse: (record: RecordReader) => Facts,
): Facts & CommitMark {
  const record = readRecord(value)
  return { ...parse(record), bootId: record.text('bootId'), durable: record.flag('durable') }
}

async function modifiedMs(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs
  } catch (error) {
    // Gone: as old as can be.
    if (isSystemError(error, 'ENOENT')) return 0
    throw error
  }
}

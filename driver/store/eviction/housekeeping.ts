import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isSystemError } from '../../../common/errors.ts'
import type { Logger } from '../../../common/log.ts'
import type { ManifestParser } from '../../pull/manifest/manifest-parser.ts'
import { sweepIngest } from '../ingest-files.ts'
import type { Store } from '../store.ts'
import type { Evictor } from './evictor.ts'
import { removeOldRecords } from './old-records.ts'
import type { Item } from './plan-eviction.ts'

const HOUR_MS = 60 * 60 * 1_000
/** Of what is kept only because it might be asked for again soon. */
const UNUSED_MAX_AGE_MS = 24 * HOUR_MS

/**
 * Looks after the store now and then: at once, away from the start, at what an earlier process left; each `intervalMs` at the marks and the trash; each
 * hour at what has been of no use for a day. The disposal waits for what runs.
 */
export function startHousekeeping(options: {
  readonly store: Store
  readonly evictor: Evictor
  readonly parseManifest: ManifestParser
  readonly log: Logger
  readonly intervalMs: number
}): AsyncDisposable {
  const { store, evictor, parseManifest, log, intervalMs } = options
  const stopping = new AbortController()
  let running = Promise.resolve()

  const chore = (name: string, work: () => Promise<unknown>) => {
    running = running.then(async () => {
      if (stopping.signal.aborted) return
      try {
        await work()
      } catch (error) {
        log.warn({ error, chore: name }, 'cannot look after the store; trying again later')
      }
    })
    return running
  }

  const lookAtAll = async () => {
    await store.trees.survey()
    await store.views.survey()
    await store.blobs.survey()
  }
  const everyInterval = () => {
    void chore('marks', evictor.check)
    void store.trash.empty()
  }
  const everyHour = () => {
    const now = Date.now()
    void chore('records', () => removeOldRecords({ store, parseManifest, now }))
    void chore('unused', () => evictor.evictUnused((item) => isUnused(item, now)))
    void chore('downloads', () => sweepIngest(store.ingestDirectory))
    void chore('staging', () => sweepStaging(store, now))
  }

  void chore('content', lookAtAll)
  everyInterval()
  const timers = [
    setInterval(everyInterval, intervalMs).unref(),
    setInterval(everyHour, HOUR_MS).unref(),
  ]
  return {
    async [Symbol.asyncDispose]() {
      for (const timer of timers) clearInterval(timer)
      stopping.abort()
      await running
    },
  }
}

/** An archive that was unpacked, and that nobody has come for since: its tree has the content, and it takes as much space again. */
function isUnused({ kind, isLinked, usedMs }: Item, now: number): boolean {
  return kind === 'blob' && isLinked !== true && usedMs < now - UNUSED_MAX_AGE_MS
}

/** What a job left that could not clean up after itself. While any runs, nobody knows which is whose. */
async function sweepStaging({ directory, holds, trash }: Store, now: number): Promise<void> {
  const staging = join(directory, 'staging')
  for (const name of await readdir(staging)) {
    if (!holds.isEmpty) return
    const path = join(staging, name)
    try {
      if ((await lstat(path)).mtimeMs < now - UNUSED_MAX_AGE_MS) await trash.take(path)
    } catch (error) {
      // A job has ended; or the mounter keeps its own place there, a mount.
      if (!isSystemError(error, 'ENOENT', 'EBUSY')) throw error
    }
  }
}

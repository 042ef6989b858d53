import type { Logger } from '../../common/log.ts'
import { measureTrees, type TreeMeasured } from '../linux/measure-tree-thread.ts'
import type { Store } from '../store/store.ts'
import { type WritableLayers, writableName } from './writable-layers.ts'

/** What a writable volume's own files took when they were last measured. */
export interface WritableUse {
  readonly bytes: number
  readonly inodes: number
}

/**
 * Looks at what writable volumes hold, at once and then each `intervalMs`, and says so when one passes the limit: it is not kept from writing. The disposal
 * ends a look that is under way.
 */
export interface WritableWatch extends AsyncDisposable {
  /** What every volume may hold. */
  readonly limitBytes: number

  /** What a volume held at the last look; looks now when there was none yet. Nothing when it is gone. */
  use(volumeId: string): Promise<WritableUse>

  /** What every volume held at the last look. */
  all(): readonly WritableUse[]
}

const NOTHING: WritableUse = { bytes: 0, inodes: 0 }

export function startWritableWatch(options: {
  readonly layers: Pick<WritableLayers, 'list'>
  readonly leases: Pick<Store['leases'], 'list'>
  readonly limitBytes: number
  readonly intervalMs: number
  readonly log: Logger
}): WritableWatch {
  const { layers, leases, limitBytes, intervalMs, log } = options
  const stopping = new AbortController()
  /** By the volume's name. */
  let known: ReadonlyMap<string, WritableUse> = new Map()
  /** Whom was told of already. */
  let large: ReadonlySet<string> = new Set()
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()
  let queued: Promise<void> | undefined

  const tell = async (names: ReadonlySet<string>, sizes: ReadonlyMap<string, WritableUse>) => {
    for (const { volumeId, pod } of (await leases.list()).leases) {
      const name = writableName(volumeId)
      if (!names.has(name)) continue
      const bytes = sizes.get(name)?.bytes
      log.warn(
        { volume: volumeId, pod: `${pod.namespace}/${pod.name}`, bytes, limitBytes },
        'a writable volume holds more than its limit',
      )
    }
  }

  const look = async () => {
    const found = await layers.list()
    const byPath = new Map([...found].map(([name, path]) => [path, name]))
    const sizes = new Map<string, WritableUse>()
    const onMeasured = ({ path, use, fault }: TreeMeasured) => {
      const name = byPath.get(path)
      if (name === undefined) return
      if (fault !== undefined) log.warn({ path, fault }, 'cannot measure a writable volume')
      if (use === undefined) return
      if (!use.complete) log.warn({ path, ...use }, 'a writable volume holds too much to count')
      sizes.set(name, { bytes: use.bytes, inodes: use.inodes })
    }
    if (byPath.size > 0) await measureTrees([...byPath.keys()], onMeasured, stopping.signal)
    known = sizes
    const before = large
    large = new Set([...sizes].filter(([, { bytes }]) => bytes > limitBytes).map(([name]) => name))
    const fresh = new Set([...large].filter((name) => !before.has(name)))
    if (fresh.size > 0) await tell(fresh, sizes)
  }

  /** One look at a time, and one for all who ask meanwhile. */
  const lookNext = () => {
    queued ??= running.then(async () => {
      queued = undefined
      if (stopping.signal.aborted) return
      try {
        await look()
      } catch (error) {
        if (stopping.signal.aborted) return
        log.warn({ error }, 'cannot measure writable volumes; trying again later')
      }
    })
    running = queued
    return running
  }
  const lookAndWait = async () => {
    await lookNext()
    if (stopping.signal.aborted) return
    timer = setTimeout(() => void lookAndWait(), intervalMs).unref()
  }
  void lookAndWait()

  return {
    limitBytes,
    async use(volumeId) {
      const name = writableName(volumeId)
      // The look that is under way may have begun before the volume did.
      if (!known.has(name)) await lookNext()
      return known.get(name) ?? NOTHING
    },
    all: () => [...known.values()],
    async [Symbol.asyncDispose]() {
      clearTimeout(timer)
      stopping.abort(new Error('The driver is stopping'))
      await running
    },
  }
}

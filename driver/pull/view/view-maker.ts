import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CodedError, isCodedError } from '../../../common/errors.ts'
import type { Logger } from '../../../common/log.ts'
import type { Store } from '../../store/store.ts'
import type { Tree } from '../../store/trees.ts'
import { type View, type ViewKey, type ViewPart, viewKey } from '../../store/views.ts'
import { createJobs, type JobContext } from '../jobs.ts'
import { reachStage } from '../stages.ts'
import type { TreeLimits } from '../tree/tree-limits.ts'
import type { TreeWorkers } from '../tree/tree-workers.ts'

/** A tree that is here, and what a view shows of it where. */
export interface ViewTree extends Omit<ViewPart, 'tree'> {
  readonly tree: Tree
  /** What messages call it: its reference. */
  readonly name: string
}

/** Makes views, each once for all who ask at the same time. */
export interface ViewMaker extends AsyncDisposable {
  /**
   * Makes sure that the node has the view of some trees. Whether the caller may see them is settled before.
   *
   * @param trees at least one; where they meet, the last wins
   * @param signal ends the call; the work goes on
   * @throws PENDING when the signal fires first; else as `buildView`
   */
  ensureView(trees: readonly ViewTree[], signal: AbortSignal): Promise<View>
}

export function createViewMaker(options: {
  readonly store: Pick<Store, 'views' | 'makeStaging' | 'trash' | 'holds'>
  readonly treeWorkers: TreeWorkers
  readonly limits: TreeLimits
  readonly log: Logger
  /** How long the work goes on when nobody waits for it. */
  readonly lingerMs?: number
}): ViewMaker {
  const { store, treeWorkers, limits, log } = options
  const jobs = createJobs<View>(options)

  /** The job of one view: staging, then commit. */
  const make = async (key: ViewKey, trees: readonly ViewTree[], { signal }: JobContext) => {
    // Whether callers stay or not, eviction leaves alone what is being linked.
    using _held = store.holds.hold([key, ...trees.map(({ tree }) => tree.key)])
    // The job before this one may have ended since the caller looked.
    const existing = await store.views.get(key)
    if (existing !== undefined) return existing
    const started = performance.now()
    const staging = await store.makeStaging()
    try {
      const root = join(staging, 'root')
      await mkdir(root, { mode: 0o755 })
      const sources = trees.map(({ tree, ...source }) => ({ ...source, root: tree.root }))
      const summary = await treeWorkers.buildView({ root, limits, sources }, signal)
      reachStage('view-built')
      const { committed } = await store.views.commit(key, staging, {
        trees: trees.map(({ tree }) => tree.key),
        bytes: summary.bytes,
        inodes: summary.files + summary.directories + summary.links,
        // Its files are those of the trees.
        ownBytes: 0,
        ownInodes: summary.directories + summary.links,
      })
      const ms = Math.round(performance.now() - started)
      log.info({ view: key, sources: trees.map(({ name }) => name), ms }, 'put together')
      return committed
    } catch (error) {
      await store.trash.take(staging)
      throw error
    }
  }

  return {
    async ensureView(trees, signal) {
      const key = viewKey(trees.map(({ tree, ...part }) => ({ ...part, tree: tree.key })))
      const existing = await store.views.get(key)
      if (existing !== undefined) return existing
      try {
        return await jobs.join(key, (job) => make(key, trees, job), signal)
      } catch (error) {
        if (!isCodedError(error, 'PENDING')) throw error
        throw new CodedError(
          'PENDING',
          `Still putting ${trees.map(({ name }) => `"${name}"`).join(', ')} together; it goes on`,
          { cause: error },
        )
      }
    },
    [Symbol.asyncDispose]: () => jobs[Symbol.asyncDispose](),
  }
}

import type { Metrics } from '../../common/metrics.ts'
import { readFreeSpace } from '../linux/free-space.ts'
import type { Evictor } from '../store/eviction/evictor.ts'
import { GOALS } from '../store/eviction/goals.ts'
import type { Store } from '../store/store.ts'
import { createUsageReader, USAGE_KINDS } from '../store/usage.ts'

/** Adds what there is on the node: looked up when it is asked for, without a walk through any tree. */
export function addStoreMetrics(
  metrics: Metrics,
  options: {
    readonly store: Store
    readonly evictor: Pick<Evictor, 'unreachable'>
    /** How many mounts show something of the store. */
    readonly countMounts: () => number
  },
): void {
  const { store, evictor, countMounts } = options
  const usage = createUsageReader({ store })
  const byKind = (what: 'bytes' | 'inodes') => async () => {
    const found = await usage.read()
    return USAGE_KINDS.map((kind) => ({ value: found[kind][what], labels: { kind } }))
  }
  metrics.gauge(
    'oras_csi_store_bytes',
    'What the store takes, by kind; what several share counts once, as a blob or tree.',
    byKind('bytes'),
  )
  metrics.gauge('oras_csi_store_inodes', 'Inodes that the store takes, by kind.', byKind('inodes'))
  const space = (read: (found: ReturnType<typeof readFreeSpace>) => number) => () => {
    const value = read(readFreeSpace(store.directory))
    // Where inodes are made as they are needed there is nothing to say.
    return Number.isFinite(value) ? value : []
  }
  metrics.gauge(
    'oras_csi_filesystem_size_bytes',
    "Size of the store's file system.",
    space(({ totalBytes }) => totalBytes),
  )
  metrics.gauge(
    'oras_csi_filesystem_avail_bytes',
    "What is free on the store's file system.",
    space(({ bytes }) => bytes),
  )
  metrics.gauge(
    'oras_csi_filesystem_inodes',
    "Inodes of the store's file system.",
    space(({ totalInodes }) => totalInodes),
  )
  metrics.gauge(
    'oras_csi_filesystem_avail_inodes',
    "Inodes that are free on the store's file system.",
    space(({ inodes }) => inodes),
  )
  metrics.gauge('oras_csi_trees', 'Artifacts laid out in the store.', () => store.trees.known.size)
  metrics.gauge('oras_csi_views', 'Views in the store.', () => store.views.known.size)
  metrics.gauge('oras_csi_blobs', 'Blobs in the store.', () => store.blobs.known.size)
  metrics.gauge('oras_csi_leases', 'Volumes that hold content.', () => store.leases.size)
  metrics.gauge('oras_csi_mounts', 'Mounts that show content of the store.', countMounts)
  metrics.gauge(
    'oras_csi_eviction_unreachable',
    'Whether the last eviction could not reach this mark or limit: 1 when the rest is in use or kept.',
    () =>
      GOALS.filter((goal) => goal !== 'room').map((goal) => ({
        value: evictor.unreachable.includes(goal) ? 1 : 0,
        labels: { goal },
      })),
  )
}

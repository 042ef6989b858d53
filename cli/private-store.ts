import type { Source } from '../common/composition/composition.ts'
import { createLogger } from '../common/log.ts'
import type { Keyring } from '../common/oci/credentials.ts'
import { nodePlatform } from '../common/oci/platform.ts'
import { formatReference } from '../common/oci/reference.ts'
import { removeTreeInSlices } from '../driver/linux/remove-tree.ts'
import { createDownloadThreads } from '../driver/pull/download/download-threads.ts'
import type { Progress } from '../driver/pull/jobs.ts'
import { createBlobDownloads } from '../driver/pull/oci-layout/blob-downloads.ts'
import { DEFAULT_PULL_LIMITS } from '../driver/pull/pull-limits.ts'
import { createPuller } from '../driver/pull/puller.ts'
import { createTreeWorkers } from '../driver/pull/tree/tree-workers.ts'
import { createViewMaker } from '../driver/pull/view/view-maker.ts'
import { isWholeTree, viewPartOf } from '../driver/pull/view/view-part.ts'
import { openStore } from '../driver/store/store.ts'
import type { TreeFacts } from '../driver/store/trees.ts'
import type { ViewPart } from '../driver/store/views.ts'
import type { Registries } from './registry-access.ts'

/** What comes of a source: its tree, or a view of it. */
export interface Content extends Pick<TreeFacts, 'manifest' | 'bytes' | 'inodes'> {
  /** A directory in the store. */
  readonly root: string
}

/** A driver's store and what works on it, for one pull. */
export interface PrivateStore extends AsyncDisposable {
  /**
   * Pulls what a volume of this source would show.
   *
   * @param onPull told, once there is something to pull, how to ask how far it is
   * @throws as {@link Puller} and {@link ViewMaker}
   */
  ensureContent(
    source: Source,
    keyring: Keyring,
    onPull: (progress: () => Progress | undefined) => void,
  ): Promise<Content>
}

/** The docker client downloads three layers at once, and so do we. */
const MAX_DOWNLOADS = 3

/**
 * Opens a store in `directory`, whose parent is there.
 *
 * @param signal ends what is under way
 */
export async function openPrivateStore(
  directory: string,
  registries: Registries,
  signal: AbortSignal,
): Promise<PrivateStore> {
  await using stack = new AsyncDisposableStack()
  const log = createLogger({ name: 'oras-csi', level: 'silent' })
  const store = stack.use(
    await openStore({
      ...{ directory, log, signal },
      bootId: 'this-process',
      isMounted: async () => false,
      removeTree: removeTreeInSlices,
    }),
  )
  const downloadThreads = stack.use(
    createBlobDownloads({
      ...{ hosts: registries.hosts, layouts: registries.layoutDirectories },
      threads: createDownloadThreads({ source: registries, log }),
    }),
  )
  const treeWorkers = stack.use(createTreeWorkers({ size: 1, followers: 1, log }))
  const puller = stack.use(
    createPuller({
      ...{ store, log, downloadThreads, treeWorkers },
      source: registries,
      platform: nodePlatform(),
      maxDownloads: MAX_DOWNLOADS,
    }),
  )
  const viewMaker = stack.use(
    createViewMaker({ store, log, treeWorkers, limits: DEFAULT_PULL_LIMITS.tree }),
  )
  const open = stack.move()
  return {
    async ensureContent(source, keyring, onPull) {
      const parts: ViewPart[] = []
      const tree = await puller.ensureTree(source, {
        ...{ keyring, signal, onPull },
        onKey: async (key, { manifest }) => {
          parts.push(viewPartOf(source, manifest, key))
        },
      })
      const name = formatReference(source.reference)
      const shown = isWholeTree(parts)
        ? tree
        : await viewMaker.ensureView(
            parts.map((part) => ({ ...part, tree, name })),
            signal,
          )
      const { bytes, inodes } = shown.meta
      return { root: shown.root, manifest: tree.meta.manifest, bytes, inodes }
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  }
}

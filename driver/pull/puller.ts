import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import pLimit, { type LimitFunction } from 'p-limit'
import type { Source } from '../../common/composition/composition.ts'
import { CodedError, isCodedError, isSystemError } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import type { ArtifactSource } from '../../common/oci/artifact-source.ts'
import type { Keyring } from '../../common/oci/credentials.ts'
import type { Descriptor, Platform } from '../../common/oci/descriptor.ts'
import { formatReference, type Reference } from '../../common/oci/reference.ts'
import type { Origin } from '../store/blobs.ts'
import type { Store } from '../store/store.ts'
import { type Tree, treeKey } from '../store/trees.ts'
import { aboutReference } from './about-reference.ts'
import { allOrFirstError } from './all-or-first-error.ts'
import { createBlobPuller } from './blob-puller.ts'
import { formatProgress } from './format-progress.ts'
import { createJobs, type JobContext, type Progress } from './jobs.ts'
import { layout, type Plan } from './layout.ts'
import { createResolver, type Resolved } from './resolver.ts'
import { DEFAULT_TREE_LIMITS, type TreeWorkers } from './tree-workers.ts'

/** Who asks for a tree, and until when. */
export interface PullOptions {
  readonly keyring: Keyring
  /** When it fires, the call ends and the pull goes on. */
  readonly signal: AbortSignal
  /** Upper bound of this call's parallel downloads; absent: only the driver's own holds. */
  readonly concurrency?: number
  /** Told the tree's key before anything is pulled, so that a lease can hold it; awaited. */
  readonly onKey?: (key: string, resolved: Resolved) => Promise<void>
  /** Told, once there is something to pull, how to ask how far it is; the answer is undefined when the pull is over. */
  readonly onPull?: (progress: () => Progress | undefined) => void
}

/** From a reference to a tree on disk: resolves, downloads what is missing once for all who ask, verifies, lays out. */
export interface Puller extends AsyncDisposable {
  /**
   * Makes sure that the node has the tree of a source, and that this caller may see it.
   *
   * @throws PENDING with the progress when the signal fires first; else as {@link ArtifactSource}, and EXHAUSTED for a full disk or a cap
   */
  ensureTree(source: Source, options: PullOptions): Promise<Tree>
}

const LAYOUT_OPTIONS = { unpack: 'auto', modes: 'readable' } as const

export function createPuller(options: {
  readonly store: Store
  readonly source: ArtifactSource
  readonly treeWorkers: TreeWorkers
  readonly platform: Platform
  readonly log: Logger
  /** How many blobs are downloaded at once on this node. */
  readonly maxDownloads: number
  /** How long a pull goes on when nobody waits for it. */
  readonly lingerMs?: number
}): Puller {
  const { store, source, treeWorkers, log } = options
  const resolver = createResolver({ ...store, source, platform: options.platform })
  const blobs = createBlobPuller(options)
  const treeJobs = createJobs<Tree>(options)

  /** The job of one tree: blobs, then staging, then commit. */
  const makeTree = async (
    { reference }: Source,
    resolved: Resolved,
    plan: Plan,
    { keyring, concurrency }: PullOptions,
    job: JobContext,
  ): Promise<Tree> => {
    const origin = originOf(reference)
    const started = performance.now()
    const here = new Set<Descriptor>()
    job.reportProgress(() => ({
      done: plan.blobs.reduce(
        (sum, blob) => sum + (here.has(blob) ? blob.size : blobs.downloaded(blob, origin)),
        0,
      ),
      total: plan.bytes,
    }))
    const own: LimitFunction = pLimit(concurrency ?? Number.POSITIVE_INFINITY)
    await allOrFirstError(
      job.signal,
      plan.blobs.map(
        (blob) => (signal) =>
          own(async () => {
            await blobs.ensure(blob, origin, { reference, keyring, signal })
            here.add(blob)
          }),
      ),
    )
    const key = keyOf(resolved)
    const existing = await store.trees.get(key)
    if (existing !== undefined) {
      // Laid out for another origin already; this one has now proved every blob.
      await store.trees.addOrigin(key, origin)
      return existing
    }
    const staging = await store.makeStaging()
    try {
      const root = join(staging, 'root')
      await mkdir(root, { mode: 0o755 })
      const summary = await treeWorkers.build(
        {
          root,
          flavour: plan.flavour,
          modes: plan.modes,
          limits: DEFAULT_TREE_LIMITS,
          steps: plan.steps.map(({ blob, ...step }) => ({
            ...step,
            blobPath: store.blobs.path(blob.digest),
          })),
        },
        job.signal,
      )
      const tree = await store.trees.commit(key, staging, {
        manifest: resolved.manifestDigest,
        origins: [origin],
        blobs: plan.blobs.map((blob) => blob.digest),
        bytes: summary.bytes,
        inodes: summary.files + summary.directories + summary.links,
      })
      log.info(
        {
          reference: formatReference(reference),
          digest: resolved.digest,
          bytes: plan.bytes,
          ms: Math.round(performance.now() - started),
        },
        'pulled',
      )
      return tree
    } catch (error) {
      await store.trash.take(staging)
      throw error
    }
  }

  return {
    async ensureTree(asked, call) {
      const name = formatReference(asked.reference)
      let jobKey: string | undefined
      try {
        const origin = originOf(asked.reference)
        const pullKeyOf = (found: Resolved) => `${origin}@${keyOf(found)}`
        const resolved = await resolver.resolve(asked, {
          ...call,
          // A pull that is under way counts: its waiters need no answer from the registry to go on waiting.
          isPresent: async (found) =>
            treeJobs.progress(pullKeyOf(found)) !== undefined ||
            (await store.trees.get(keyOf(found)))?.meta.origins.includes(origin) === true,
        })
        const key = keyOf(resolved)
        // Lease before content, so that eviction cannot win the race.
        await call.onKey?.(key, resolved)
        const tree = await store.trees.get(key)
        if (tree?.meta.origins.includes(origin)) return tree
        const plan = layout(resolved.manifest, LAYOUT_OPTIONS)
        const pullKey = pullKeyOf(resolved)
        jobKey = pullKey
        call.onPull?.(() => treeJobs.progress(pullKey))
        return await treeJobs.join(
          pullKey,
          (job) => makeTree(asked, resolved, plan, call, job),
          call.signal,
        )
      } catch (error) {
        if (
          call.signal.aborted &&
          error === call.signal.reason &&
          !isCodedError(error, 'PENDING')
        ) {
          throw error
        }
        const progress = jobKey === undefined ? undefined : treeJobs.progress(jobKey)
        throw explain(error, name, store.directory, progress)
      }
    },
    async [Symbol.asyncDispose]() {
      await resolver[Symbol.asyncDispose]()
      await treeJobs[Symbol.asyncDispose]()
      await blobs[Symbol.asyncDispose]()
    },
  }
}

function originOf({ registry, repository }: Reference): Origin {
  return `${registry}/${repository}`
}

function keyOf({ manifestDigest }: Resolved): string {
  return treeKey({ manifest: manifestDigest, ...LAYOUT_OPTIONS })
}

/** Turns what happened into words for the pod's events: the reference, and what a person can do. */
function explain(
  error: unknown,
  name: string,
  directory: string,
  progress: Progress | undefined,
): unknown {
  if (isCodedError(error, 'PENDING')) {
    const detail = progress === undefined ? '' : `: ${formatProgress(progress)}`
    return new CodedError('PENDING', `Still pulling "${name}"${detail}; the pull goes on`, {
      cause: error,
    })
  }
  if (isSystemError(error, 'ENOSPC', 'EDQUOT')) {
    return new CodedError(
      'EXHAUSTED',
      `Cannot pull "${name}": no space or no inodes left for "${directory}" on this node; free some, or give the store a larger file system`,
      { cause: error },
    )
  }
  const unnamed = error instanceof CodedError && !error.message.includes(name)
  return unnamed ? aboutReference(name, error) : error
}

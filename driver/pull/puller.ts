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
import { fetchBlob } from './fetch-blob.ts'
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
  const downloads = pLimit(options.maxDownloads)
  const blobJobs = createJobs<void>(options)
  const treeJobs = createJobs<Tree>(options)

  const ensureBlob = (
    reference: Reference,
    descriptor: Descriptor,
    origin: Origin,
    keyring: Keyring,
    signal: AbortSignal,
    onProgress: (bytes: number) => void,
  ) => {
    const key = `${origin}@${descriptor.digest}`
    return blobJobs.join(
      key,
      async (job) => {
        let done = 0
        job.reportProgress(() => ({ done, total: descriptor.size }))
        if (await store.blobs.has(descriptor.digest, origin)) return
        await downloads(() =>
          fetchBlob({
            ...{ source, reference, descriptor, keyring, origin },
            blobs: store.blobs,
            ingestDirectory: store.ingestDirectory,
            signal: job.signal,
            onProgress: (bytes) => {
              done = bytes
              onProgress(bytes)
            },
          }),
        )
      },
      signal,
    )
  }

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
    const done = new Map<Descriptor, number>()
    job.reportProgress(() => ({
      done: [...done.values()].reduce((sum, bytes) => sum + bytes, 0),
      total: plan.bytes,
    }))
    const own: LimitFunction = pLimit(concurrency ?? Number.POSITIVE_INFINITY)
    await allOrFirstError(
      plan.blobs.map((blob) =>
        own(async () => {
          await ensureBlob(reference, blob, origin, keyring, job.signal, (bytes) =>
            done.set(blob, bytes),
          )
          done.set(blob, blob.size)
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
        const resolved = await resolver.resolve(asked, {
          ...call,
          isPresent: async (found) =>
            (await store.trees.get(keyOf(found)))?.meta.origins.includes(origin) === true,
        })
        const key = keyOf(resolved)
        // Lease before content, so that eviction cannot win the race.
        await call.onKey?.(key, resolved)
        const tree = await store.trees.get(key)
        if (tree?.meta.origins.includes(origin)) return tree
        const plan = layout(resolved.manifest, LAYOUT_OPTIONS)
        const pullKey = `${origin}@${key}`
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
      await blobJobs[Symbol.asyncDispose]()
    },
  }
}

function originOf({ registry, repository }: Reference): Origin {
  return `${registry}/${repository}`
}

function keyOf({ manifestDigest }: Resolved): string {
  return treeKey({ manifest: manifestDigest, ...LAYOUT_OPTIONS })
}

/** Waits for all to end before it throws: nothing of a failed pull goes on unseen. */
async function allOrFirstError(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work)
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
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
  if (error instanceof CodedError && !error.message.includes(name)) {
    const detail = error.message.charAt(0).toLowerCase() + error.message.slice(1)
    return new CodedError(error.code, `Cannot use "${name}": ${detail}`, { cause: error })
  }
  return error
}

import type { Source } from '../../common/composition/composition.ts'
import {
  CodedError,
  type ErrorCode,
  isCodedError,
  isSystemError,
  toCodedError,
} from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import type { ArtifactSource } from '../../common/oci/artifact-source.ts'
import type { Keyring } from '../../common/oci/credentials.ts'
import type { Platform } from '../../common/oci/descriptor.ts'
import { formatReference, type Reference } from '../../common/oci/reference.ts'
import { isOutOfSpace } from '../linux/free-space.ts'
import type { Origin } from '../store/blobs.ts'
import type { Evictor } from '../store/eviction/evictor.ts'
import type { Store } from '../store/store.ts'
import { type Tree, type TreeKey, treeKey } from '../store/trees.ts'
import { aboutReference } from './about-reference.ts'
import type { AccessRules } from './access-rules.ts'
import { createBlobPuller } from './blob-puller.ts'
import { keyringIdentities } from './credential-identity.ts'
import { createDownloadSpace } from './download/download-space.ts'
import type { DownloadThreads } from './download/download-threads.ts'
import type { OnWrongBlob } from './fetch-blob.ts'
import { formatProgress } from './format-progress.ts'
import { createJobs, type JobContext, type Progress } from './jobs.ts'
import { type LayoutOptions, layout, layoutOptionsOf, type Plan } from './layout/layout.ts'
import { isRefusal } from './manifest/refusals.ts'
import { createResolver, type OnOutage, type Resolved } from './manifest/resolver.ts'
import { DEFAULT_PULL_LIMITS, type PullLimits } from './pull-limits.ts'
import { roomOfPull } from './pull-room.ts'
import type { TreeWorkers } from './tree/tree-workers.ts'
import { treeIdentityOf } from './tree-identity.ts'
import { pullTree } from './tree-pull.ts'

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
   * Makes sure that the node has the tree of a source, and that this caller may see it: he has proved that he may read the manifest, and each blob
   * came from the registry and repository that he did so at, or that registry says that he may read it there. What the source shows of it, and where, is a view's:
   * see `viewPartOf`.
   *
   * @throws PENDING with the progress when the signal fires first; else as {@link ArtifactSource}, and EXHAUSTED for a full disk or a cap
   */
  ensureTree(source: Source, options: PullOptions): Promise<Tree>
}

/** Told how each pull ended, once for all who waited for it. */
export interface PullObserver {
  /** @param bytes what had to be downloaded */
  pulled(code: ErrorCode | 'OK' | 'CANCELLED', bytes: number, seconds: number): void
}

export function createPuller(options: {
  readonly store: Store
  readonly source: ArtifactSource
  readonly treeWorkers: TreeWorkers
  readonly platform: Platform
  readonly log: Logger
  /** How many blobs are downloaded at once on this node. */
  readonly maxDownloads: number
  /** Where big blobs are downloaded; absent: on the main thread. */
  readonly downloadThreads?: DownloadThreads
  /** How long a pull goes on when nobody waits for it. */
  readonly lingerMs?: number
  /** What a pull may cost. */
  readonly limits?: PullLimits
  /** How long what a registry said counts. */
  readonly accessRules?: AccessRules
  /** Told when content is shown without asking the registry, which does not answer. */
  readonly onOutage?: OnOutage
  /** Told of hosts that sent wrong bytes where another one has right ones. */
  readonly onWrongBlob?: OnWrongBlob
  /** Makes room for pulls; absent: there is what there is. */
  readonly evictor?: Pick<Evictor, 'makeRoom' | 'ranOut'>
  readonly observer?: PullObserver
}): Puller {
  const { store, source, treeWorkers, log, limits = DEFAULT_PULL_LIMITS, evictor } = options
  /** Whoever fetches a manifest will soon download blobs and build a tree: the threads are warm by then. */
  const noticing: ArtifactSource = {
    ...source,
    manifest(reference, call) {
      options.downloadThreads?.warm()
      treeWorkers.warm()
      return source.manifest(reference, call)
    },
  }
  const resolver = createResolver({
    ...{ ...store, limits, platform: options.platform },
    source: noticing,
    ...(options.accessRules !== undefined && { rules: options.accessRules }),
    ...(options.onOutage !== undefined && { onOutage: options.onOutage }),
  })
  const blobs = createBlobPuller({
    ...options,
    // An evictor makes room, and counts what is in the trash as gone.
    space: evictor === undefined ? createDownloadSpace(store.directory, limits.tree) : undefined,
  })
  const treeJobs = createJobs<Tree>({ ...options, isPersonal: isRefusal })

  /** The job of one tree. */
  const makeTree = async (
    { reference }: Source,
    { key, resolved, plan }: { key: TreeKey; resolved: Resolved; plan: Plan },
    { keyring, concurrency, caller }: PullOptions & { readonly caller: string },
    job: JobContext,
  ): Promise<Tree> => {
    const started = performance.now()
    const origin = originOf(reference)
    let bytes = 0
    const done = (code: Parameters<PullObserver['pulled']>[0]) =>
      options.observer?.pulled(code, bytes, (performance.now() - started) / 1_000)
    // Held before anything is looked for: eviction leaves it alone from here on, whether callers stay or not.
    using _held = store.holds.hold([key, ...plan.blobs.map(({ digest }) => digest)])
    try {
      const isBuilt = (await store.trees.get(key)) !== undefined
      const room = await roomOfPull(plan, { store, origin, isBuilt })
      bytes = room.downloadBytes
      const pullKey = pullKeyOf(origin, key)
      const hereBefore = plan.bytes - room.downloadBytes
      const written = () => Math.max(0, (treeJobs.progress(pullKey)?.done ?? 0) - hereBefore)
      using _room = await evictor?.makeRoom({
        ...{ ...room, key, written },
        subject: `Cannot pull "${formatReference(reference)}"`,
      })
      const tree = await pullTree({
        ...{ store, blobs, treeWorkers, limits: limits.tree },
        ...{ key, plan, manifestDigest: resolved.manifestDigest },
        ...{ reference, origin, keyring, caller, job },
        ...(concurrency !== undefined && { concurrency }),
      })
      const ms = Math.round(performance.now() - started)
      const { digest } = resolved
      log.info({ reference: formatReference(reference), digest, bytes: plan.bytes, ms }, 'pulled')
      done('OK')
      return tree
    } catch (error) {
      if (isOutOfSpace(error)) evictor?.ranOut(key)
      done(job.signal.aborted ? 'CANCELLED' : toCodedError(error).code)
      throw error
    }
  }

  return {
    async ensureTree(asked, call) {
      const name = formatReference(asked.reference)
      let jobKey: string | undefined
      try {
        const origin = originOf(asked.reference)
        const wanted = layoutOptionsOf(asked)
        const resolved = await resolver.resolve(asked, {
          ...call,
          // A pull that is under way counts: its waiters need no answer from the registry to go on waiting.
          isPresent: async (found) => {
            const key = possibleKeyOf(found, wanted)
            if (key === undefined) return false
            return (
              treeJobs.progress(pullKeyOf(origin, key)) !== undefined ||
              // As last seen; the disk is looked at below, under a lease.
              store.trees.known.get(key)?.facts.origins.includes(origin) === true ||
              (await store.trees.get(key))?.meta.origins.includes(origin) === true
            )
          },
        })
        const key = keyOf(resolved, wanted)
        // Lease before content, so that eviction cannot win the race.
        await call.onKey?.(key, resolved)
        const tree = await store.trees.get(key)
        if (tree?.meta.origins.includes(origin)) return tree
        const plan = layout(resolved.manifest, wanted)
        const pullKey = pullKeyOf(origin, key)
        jobKey = pullKey
        call.onPull?.(() => treeJobs.progress(pullKey))
        const who = keyringIdentities(store.salt, call.keyring, asked.reference)
        const caller = who.join(' ')
        return await treeJobs.join(
          pullKey,
          (job) => makeTree(asked, { key, resolved, plan }, { ...call, caller }, job),
          call.signal,
          caller,
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

/** Who asks elsewhere pulls for himself. */
function pullKeyOf(origin: Origin, key: TreeKey): string {
  return `${origin}@${key}`
}

function keyOf(resolved: Resolved, wanted: LayoutOptions): TreeKey {
  return treeKey(treeIdentityOf(resolved, wanted))
}

/** Undefined when nothing of that manifest would be mounted: the registry may have another by now. */
function possibleKeyOf(resolved: Resolved, wanted: LayoutOptions): TreeKey | undefined {
  try {
    return keyOf(resolved, wanted)
  } catch (error) {
    if (isCodedError(error, 'INVALID')) return undefined
    throw error
  }
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

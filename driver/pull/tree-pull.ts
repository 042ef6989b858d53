import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import pLimit from 'p-limit'
import type { Keyring } from '../../common/oci/credentials.ts'
import type { Descriptor } from '../../common/oci/descriptor.ts'
import type { Digest } from '../../common/oci/digest.ts'
import type { Reference } from '../../common/oci/reference.ts'
import type { Origin } from '../store/blobs.ts'
import type { Store } from '../store/store.ts'
import type { Tree, TreeKey } from '../store/trees.ts'
import { allOrFirstError } from './all-or-first-error.ts'
import { type BlobArrivals, createBlobArrivals } from './blob-arrivals.ts'
import type { BlobPuller } from './blob-puller.ts'
import type { JobContext } from './jobs.ts'
import type { Plan } from './layout/layout.ts'
import { reachStage } from './stages.ts'
import type { AwaitBlob, TreeSummary } from './tree/tree-job.ts'
import type { TreeLimits } from './tree/tree-limits.ts'
import type { TreeWorkers } from './tree/tree-workers.ts'
import { readWatermark, type Watermark } from './watermark.ts'

/** What tree is pulled, from where, and with what. */
export interface TreePull {
  readonly store: Store
  readonly blobs: BlobPuller
  readonly treeWorkers: TreeWorkers
  readonly limits: TreeLimits
  readonly key: TreeKey
  readonly plan: Plan
  readonly manifestDigest: Digest
  readonly reference: Reference
  readonly origin: Origin
  readonly keyring: Keyring
  /** Names whose credentials these are. */
  readonly caller: string
  /** Upper bound of this tree's parallel downloads. */
  readonly concurrency?: number
  readonly job: JobContext
}

/** A tree that is complete, and not visible yet. */
interface BuiltTree {
  readonly staging: string
  readonly summary: TreeSummary
}

/** A smaller archive is unpacked as fast as a thread can be asked to follow it. */
const FOLLOW_FROM_BYTES = 1024 * 1024

/**
 * Pulls a tree: downloads its blobs, unpacks archives behind their downloads where a thread is free for that, and makes the tree visible
 * when all of it is right.
 *
 * @throws what is wrong with a blob before what is wrong with the archive in it; as {@link BlobPuller} and {@link TreeWorkers}
 */
export async function pullTree(pull: TreePull): Promise<Tree> {
  const { store, blobs, key, plan, origin, reference, keyring, caller, job } = pull
  const arrivals = createBlobArrivals(plan.blobs, pull)
  job.reportProgress(() => ({ done: arrivals.bytes(), total: plan.bytes }))
  const own = pLimit(pull.concurrency ?? Number.POSITIVE_INFINITY)
  const downloads = plan.blobs.map(
    (blob) => (signal: AbortSignal) =>
      own(() =>
        arrivals.bring(blob, () =>
          blobs.ensure(blob, origin, { reference, keyring, caller, signal }),
        ),
      ),
  )

  // 1. Laid out for another origin already: a tree is shared when each of its blobs may be, so this one has to prove every one, no more.
  const existing = await store.trees.get(key)
  if (existing !== undefined) {
    await allOrFirstError(job.signal, downloads)
    await store.trees.addOrigin(key, origin)
    return existing
  }

  // 2. Blobs and tree. What follows a download is worth as much as that download.
  let built: BuiltTree | undefined
  try {
    await allOrFirstError(job.signal, [
      ...downloads,
      async (signal) => {
        built = await build(pull, arrivals, signal)
      },
    ])
    if (built === undefined) throw new Error('nothing was built')
    reachStage('tree-built')

    // 3. Every digest was right: visible, in one step.
    const { bytes, files, directories, links } = built.summary
    return await store.trees.commit(key, built.staging, {
      manifest: pull.manifestDigest,
      origins: [origin],
      blobs: plan.blobs.map((blob) => blob.digest),
      bytes,
      inodes: files + directories + links,
      ...ownSize(pull, built.summary),
    })
  } catch (error) {
    if (built !== undefined) await store.trash.take(built.staging)
    throw error
  }
}

/** What the tree has beside the files that are blobs; where a later layer replaced one of those, a little less than that. */
function ownSize({ plan }: TreePull, { bytes, files, directories, links }: TreeSummary) {
  const linked = plan.steps.filter(({ kind }) => kind === 'link')
  return {
    ownBytes: Math.max(0, bytes - linked.reduce((sum, { blob }) => sum + blob.size, 0)),
    ownInodes: Math.max(0, files - linked.length) + directories + links,
  }
}

/** Builds the tree, beginning before its blobs are here if there is an archive to follow and a place to do it. */
async function build(
  pull: TreePull,
  arrivals: BlobArrivals,
  signal: AbortSignal,
): Promise<BuiltTree> {
  const { plan, treeWorkers } = pull
  const worthIt = plan.steps.some(
    ({ kind, blob }) => kind === 'unpack' && blob.size >= FOLLOW_FROM_BYTES,
  )
  using place = worthIt ? treeWorkers.takeFollowerPlace() : undefined
  if (place !== undefined) {
    const giveBack = () => place[Symbol.dispose]()
    void arrivals.whenAllHere().then(giveBack, giveBack)
    const following = follow(plan, arrivals)
    try {
      return await buildInStaging(pull, signal, following.awaitBlob)
    } catch (error) {
      signal.throwIfAborted()
      if (!(await following.wasGivenUp())) throw error
    }
  }
  await arrivals.whenAllHere()
  return buildInStaging(pull, signal)
}

/** Answers a builder that asks for blobs which are not here, and remembers what it was given last. */
function follow({ steps }: Plan, arrivals: BlobArrivals) {
  let current: Descriptor | undefined
  let watermark: Watermark | undefined
  const awaitBlob: AwaitBlob = async (index) => {
    const step = steps[index]
    if (step === undefined) throw new Error(`no step ${index}`)
    current = step.blob
    watermark = undefined
    if (step.kind === 'unpack') {
      const download = await arrivals.whenReadable(step.blob)
      if (download !== undefined) {
        watermark = download.watermark
        return { path: download.path, watermark, size: step.blob.size }
      }
    }
    await arrivals.whenHere(step.blob)
    return 'here'
  }
  return {
    awaitBlob,
    /**
     * To be asked when the builder has failed: waits for the verdict on the blob it was given, and answers whether it failed only because
     * the download did, and began again.
     *
     * @throws what is wrong with the blob: half-read, wrong bytes look like a malformed archive
     */
    async wasGivenUp(): Promise<boolean> {
      if (current !== undefined) await arrivals.whenHere(current)
      return watermark !== undefined && readWatermark(watermark).state === 'failed'
    },
  }
}

/** Builds the tree in a directory of its own; on failure nothing is left of it. */
async function buildInStaging(
  { store, treeWorkers, limits, plan }: TreePull,
  signal: AbortSignal,
  awaitBlob?: AwaitBlob,
): Promise<BuiltTree> {
  const staging = await store.makeStaging()
  try {
    const root = join(staging, 'root')
    await mkdir(root, { mode: 0o755 })
    reachStage('staging-made')
    const summary = await treeWorkers.build(
      {
        root,
        flavour: plan.flavour,
        modes: plan.modes,
        limits,
        steps: plan.steps.map(({ blob, ...step }) => ({
          ...step,
          blobPath: store.blobs.path(blob.digest),
        })),
      },
      { signal, ...(awaitBlob !== undefined && { awaitBlob }) },
    )
    return { staging, summary }
  } catch (error) {
    await store.trash.take(staging)
    throw error
  }
}

import pLimit from 'p-limit'
import type { Source } from '../../common/composition/composition.ts'
import { CodedError, isCodedError } from '../../common/errors.ts'
import { formatReference } from '../../common/oci/reference.ts'
import { allOrFirstError } from '../pull/all-or-first-error.ts'
import { formatProgress } from '../pull/format-progress.ts'
import type { Progress } from '../pull/jobs.ts'
import type { Puller } from '../pull/puller.ts'
import { reachStage } from '../pull/stages.ts'
import type { ViewMaker, ViewTree } from '../pull/view/view-maker.ts'
import { isWholeTree, viewPartOf } from '../pull/view/view-part.ts'
import type { LeaseSource } from '../store/leases.ts'
import type { Tree } from '../store/trees.ts'
import { type ViewPart, viewKey } from '../store/views.ts'
import type { ContentPolicy } from './admin-policy.ts'
import type { LeaseWriter } from './lease-writer.ts'
import type { Volume } from './volume.ts'

/** What a volume shows: one directory of the store. */
export interface Shown {
  readonly kind: 'tree' | 'view'
  readonly key: string
  readonly root: string
}

/** What is known of one source before its tree is here. */
interface Found {
  readonly part: ViewPart
  readonly resolved: LeaseSource
}

/**
 * Makes sure that the node has what a volume shows: the trees of all its sources, pulled side by side, and the view of them unless it is simply one
 * whole tree. The lease names each before it is used, so that eviction cannot win the race.
 *
 * @param options.signal ends the call; what is under way goes on
 * @throws PENDING with the progress of all sources when the signal fires first; else what the first source that failed threw, as {@link Puller}
 * or {@link ContentPolicy}, or as {@link ViewMaker}
 */
export async function ensureContent(
  volume: Pick<Volume, 'spec' | 'keyring'>,
  options: {
    readonly puller: Puller
    readonly viewMaker: ViewMaker
    readonly lease: LeaseWriter
    readonly policy: ContentPolicy
    readonly signal: AbortSignal
  },
): Promise<Shown> {
  const { lease, viewMaker, signal } = options
  const { sources } = volume.spec

  // 1. The trees.
  const found = new Map<number, Found>()
  const trees = await pullAll(volume, options, async (index, one) => {
    found.set(index, one)
    // In the order of the sources, not of the registries' answers.
    const known = sources.flatMap((_, at) => found.get(at) ?? [])
    await lease.change((before) => ({
      ...before,
      trees: known.map(({ part }) => part.tree),
      sources: known.map(({ resolved }) => resolved),
    }))
    reachStage('lease-written')
  })
  const [first] = trees
  if (first === undefined) throw new CodedError('INVALID', 'The volume has no source')

  // 2. The view of them.
  const parts = sources.flatMap((_, index) => found.get(index)?.part ?? [])
  if (isWholeTree(parts)) return { kind: 'tree', key: first.key, root: first.root }
  const key = viewKey(parts)
  await lease.change((before) => ({ ...before, views: [key] }))
  reachStage('lease-written')
  const view = await viewMaker.ensureView(namedTrees(sources, parts, trees), signal)
  return { kind: 'view', key: view.key, root: view.root }
}

/** The tree of each source. A source that fails ends the wait for the others. */
async function pullAll(
  { spec, keyring }: Pick<Volume, 'spec' | 'keyring'>,
  {
    puller,
    policy,
    signal,
  }: {
    readonly puller: Puller
    readonly policy: ContentPolicy
    readonly signal: AbortSignal
  },
  onFound: (index: number, found: Found) => Promise<void>,
): Promise<readonly Tree[]> {
  const { sources } = spec
  const bounds = shareDownloads(sources.length, spec.concurrency)
  const trees = new Map<number, Tree>()
  const pulls = new Map<number, () => Progress | undefined>()
  try {
    await allOrFirstError(
      signal,
      sources.map((source, index) =>
        bounds.inTurn(async (either) => {
          either.throwIfAborted()
          const tree = await puller.ensureTree(source, {
            keyring,
            signal: either,
            ...bounds.each,
            onKey: async (key, { digest, manifest }) => {
              policy.checkManifest(source, { manifest })
              await onFound(index, {
                part: viewPartOf(source, manifest, key),
                resolved: { reference: formatReference(source.reference), digest },
              })
            },
            onPull: (progress) => pulls.set(index, progress),
          })
          policy.checkTree(source, tree.meta)
          trees.set(index, tree)
        }),
      ),
    )
  } catch (error) {
    if (sources.length === 1 || !isCodedError(error, 'PENDING')) throw error
    const missing = sources.filter((_, index) => !trees.has(index))
    throw stillPulling(missing, sources.length, [...pulls.values()], error)
  }
  return sources.flatMap((_, index) => trees.get(index) ?? [])
}

/** Spreads the upper bound of a volume's downloads over its sources: some at once, each with its share. */
function shareDownloads(sources: number, concurrency: number | undefined) {
  const turns = pLimit(Math.min(sources, concurrency ?? sources))
  return {
    each:
      concurrency === undefined
        ? {}
        : { concurrency: Math.max(1, Math.floor(concurrency / sources)) },
    inTurn:
      (work: (signal: AbortSignal) => Promise<void>) =>
      (signal: AbortSignal): Promise<void> =>
        turns(() => work(signal)),
  }
}

function namedTrees(
  sources: readonly Source[],
  parts: readonly ViewPart[],
  trees: readonly Tree[],
): readonly ViewTree[] {
  return sources.flatMap((source, index) => {
    const part = parts[index]
    const tree = trees[index]
    if (part === undefined || tree === undefined) return []
    return [{ ...part, tree, name: formatReference(source.reference) }]
  })
}

/** How many sources a message names. */
const MAX_NAMED = 5

function stillPulling(
  missing: readonly Source[],
  count: number,
  pulls: readonly (() => Progress | undefined)[],
  cause: CodedError,
): CodedError {
  const named = missing
    .slice(0, MAX_NAMED)
    .map(({ reference }) => `"${formatReference(reference)}"`)
    .join(', ')
  const more = missing.length > MAX_NAMED ? ` and ${missing.length - MAX_NAMED} more` : ''
  const running = pulls.flatMap((progress) => progress() ?? [])
  const sum: Progress = {
    done: running.reduce((bytes, { done }) => bytes + done, 0),
    total: running.reduce((bytes, { total }) => bytes + total, 0),
  }
  const detail = running.length === 0 ? '' : `: ${formatProgress(sum)}`
  return new CodedError(
    'PENDING',
    `Still pulling ${missing.length} of ${count} sources (${named}${more})${detail}; the pull goes on`,
    { cause },
  )
}

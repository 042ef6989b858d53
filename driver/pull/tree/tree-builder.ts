import { basename } from 'node:path'
import { CodedError, isSystemError, toCodedError } from '../../../common/errors.ts'
import { reachStage } from '../stages.ts'
import { createTarExtractor } from '../tar/tar-extractor.ts'
import { unpack } from '../tar/unpack.ts'
import { followBlob, openBlob } from './blob-reader.ts'
import { watchSpace } from './space-watch.ts'
import { createTreeBudget, type TreeBudget } from './tree-budget.ts'
import type {
  AwaitBlob,
  Cancellation,
  IncomingBlob,
  TreeJob,
  TreeStep,
  TreeSummary,
} from './tree-job.ts'
import { TreeWriter } from './tree-writer.ts'

/**
 * Builds a tree in the current thread, by blocking calls: in a server, through `createTreeWorkers`.
 *
 * Disk content is not synced. What a failed build left in the root is the caller's to delete; so is what came of an archive that was
 * unpacked behind its download, unless that download ends well.
 *
 * @param awaitBlob absent: every blob is in the store
 * @throws CORRUPT for a malformed archive; INVALID for one with something forbidden; EXHAUSTED for a limit or a full disk;
 * the signal's reason when it fires; INTERNAL when a blob or the root is missing
 */
export async function buildTree(
  job: TreeJob,
  signal: Cancellation,
  awaitBlob: AwaitBlob = async () => 'here',
): Promise<TreeSummary> {
  const budget = createTreeBudget(job.limits, watchSpace(job.root, job.limits))
  using tree = new TreeWriter(job)
  for (const [index, step] of job.steps.entries()) {
    try {
      signal.throwIfAborted()
      const blob = await awaitBlob(index)
      signal.throwIfAborted()
      await buildStep(step, blob, { job, tree, budget, signal })
    } catch (error) {
      signal.throwIfAborted()
      throw explain(error, step)
    }
  }
  return tree.finish()
}

interface Building {
  readonly job: TreeJob
  readonly tree: TreeWriter
  readonly budget: TreeBudget
  readonly signal: Cancellation
}

async function buildStep(
  step: TreeStep,
  blob: 'here' | IncomingBlob,
  building: Building,
): Promise<void> {
  building.tree.beginLayer()
  switch (step.kind) {
    case 'link':
      // A name in a tree is for good: only what is verified and in the store gets one.
      if (blob !== 'here') throw new CodedError('INTERNAL', 'The blob is still being downloaded')
      building.tree.linkBlob(step.path, step.blobPath)
      break
    case 'unpack':
      await unpackStep(step, blob, building)
      break
  }
}

async function unpackStep(
  step: Extract<TreeStep, { kind: 'unpack' }>,
  blob: 'here' | IncomingBlob,
  { job, tree, budget, signal }: Building,
): Promise<void> {
  const { path, namesFrom = 'root', contentDigest, blobPath } = step
  tree.ensureDirectory(path)
  reachStage('unpack-begun')
  using extractor = createTarExtractor({ ...job, tree, budget, path, namesFrom })
  using archive = blob === 'here' ? openBlob(blobPath) : followBlob(blob, blobPath, signal)
  await unpack(archive.chunks, {
    handler: extractor,
    budget: budget.archive(archive.size),
    signal,
    ...(contentDigest !== undefined && { contentDigest }),
  })
}

/** Says which layer it was. */
function explain(error: unknown, step: TreeStep): CodedError {
  const layer = basename(step.blobPath)
  const action =
    step.kind === 'link' ? `place layer ${layer} at "${step.path}"` : `unpack layer ${layer}`
  if (isSystemError(error, 'ENOSPC', 'EDQUOT')) {
    return new CodedError(
      'EXHAUSTED',
      `Cannot ${action}: no space or no inodes left on the node's file system (${error.code})`,
      { cause: error },
    )
  }
  const coded = toCodedError(error)
  if (coded.code === 'INTERNAL') {
    return new CodedError('INTERNAL', `Cannot ${action}: the log has the detail`, { cause: error })
  }
  const detail = coded.message.charAt(0).toLowerCase() + coded.message.slice(1)
  return new CodedError(coded.code, `Cannot ${action}: ${detail}`, { cause: error })
}

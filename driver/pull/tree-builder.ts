import { fstatSync, readSync } from 'node:fs'
import { basename } from 'node:path'
import { CodedError, isSystemError, toCodedError } from '../../common/errors.ts'
import { close, openFile } from '../linux/directory.ts'
import { createTarExtractor } from './tar/tar-extractor.ts'
import { unpack } from './tar/unpack.ts'
import { createTreeBudget, type TreeBudget } from './tree-budget.ts'
import type { Cancellation, TreeJob, TreeStep, TreeSummary } from './tree-job.ts'
import { TreeWriter } from './tree-writer.ts'

const READ_BYTES = 256 * 1024

/**
 * Builds a tree in the current thread, by blocking calls: in a server, through `createTreeWorkers`.
 *
 * Disk content is not synced. What a failed build left in the root is the caller's to delete.
 *
 * @throws CORRUPT for a malformed archive; INVALID for one with something forbidden; EXHAUSTED for a limit or a full disk;
 * the signal's reason when it fires; INTERNAL when a blob or the root is missing
 */
export async function buildTree(job: TreeJob, signal: Cancellation): Promise<TreeSummary> {
  const budget = createTreeBudget(job.limits)
  using tree = new TreeWriter(job)
  for (const step of job.steps) {
    try {
      await buildStep(step, { job, tree, budget, signal })
    } catch (error) {
      signal.throwIfAborted()
      throw explain(error, step)
    }
  }
  return tree.finish()
}

async function buildStep(
  step: TreeStep,
  context: {
    readonly job: TreeJob
    readonly tree: TreeWriter
    readonly budget: TreeBudget
    readonly signal: Cancellation
  },
): Promise<void> {
  const { job, tree, budget, signal } = context
  signal.throwIfAborted()
  tree.beginLayer()
  switch (step.kind) {
    case 'link':
      tree.linkBlob(step.path, step.blobPath)
      break
    case 'unpack': {
      tree.ensureDirectory(step.path)
      const { path, namesFrom = 'root', contentDigest } = step
      using extractor = createTarExtractor({ ...job, tree, budget, path, namesFrom })
      const blob = openFile(step.blobPath)
      try {
        await unpack(chunksOf(blob), {
          handler: extractor,
          budget: budget.archive(fstatSync(blob).size),
          signal,
          ...(contentDigest !== undefined && { contentDigest }),
        })
      } finally {
        close(blob)
      }
      break
    }
  }
}

/** Reads a file in the current thread: a page cache is faster than a thread pool. */
async function* chunksOf(fd: number): AsyncGenerator<Uint8Array, void, undefined> {
  for (;;) {
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
    const read = readSync(fd, buffer, 0, buffer.length, null)
    if (read === 0) return
    yield buffer.subarray(0, read)
  }
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

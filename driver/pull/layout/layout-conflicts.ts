import { CodedError } from '../../../common/errors.ts'
import type { Descriptor } from '../../../common/oci/descriptor.ts'
import type { Digest } from '../../../common/oci/digest.ts'
import { parentPath } from '../tree/tree-path.ts'
import type { LayerStep } from './layout-step.ts'

/**
 * Finds the steps that make of the same blob at the same place what an earlier one does: `oras pull` makes one file of them.
 *
 * @throws INVALID for two different things at one place, and a file where another layer needs a directory
 */
export function repeatedSteps<Step extends LayerStep>(steps: readonly Step[]): ReadonlySet<Step> {
  const placed = new Map<string, Step>()
  const repeated = new Set<Step>()
  for (const step of steps) {
    // Archives may share a directory; what they hold is not known yet.
    if (step.path === '') continue
    const other = placed.get(step.path)
    if (other === undefined) {
      placed.set(step.path, step)
    } else if (other.blob.digest === step.blob.digest && other.kind === step.kind) {
      repeated.add(step)
    } else {
      throw new CodedError(
        'INVALID',
        `Two layers have the title ${quote(step.path)}: ${other.blob.digest} and ${step.blob.digest}; expected different titles`,
      )
    }
  }
  for (const path of placed.keys()) refuseFileAbove(path, placed)
  return repeated
}

/**
 * Lists what steps need, each digest once, in order of first use.
 *
 * @throws INVALID for one digest with two sizes
 */
export function distinctBlobs(steps: readonly LayerStep[]): readonly Descriptor[] {
  const blobs = new Map<Digest, Descriptor>()
  for (const { blob } of steps) {
    const known = blobs.get(blob.digest)
    if (known === undefined) blobs.set(blob.digest, blob)
    else if (known.size !== blob.size) {
      throw new CodedError(
        'INVALID',
        `Layer ${blob.digest} is listed with two sizes: ${known.size} and ${blob.size} bytes`,
      )
    }
  }
  return [...blobs.values()]
}

function refuseFileAbove(path: string, placed: ReadonlyMap<string, LayerStep>): void {
  for (let above = parentPath(path); above !== ''; above = parentPath(above)) {
    if (placed.get(above)?.kind === 'link') {
      throw new CodedError(
        'INVALID',
        `Layer titles conflict: ${quote(above)} is a file, and ${quote(path)} needs it to be a directory`,
      )
    }
  }
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 200))
}

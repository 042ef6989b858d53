import { CodedError } from '../../../common/errors.ts'
import { limitHint } from '../../../common/limit-hint.ts'
import { type FreeSpace, tooFull } from '../../linux/free-space.ts'
import { formatBytes } from '../../pull/format-progress.ts'
import type { Size } from '../trash.ts'
import type { InUse } from './in-use.ts'

/** How many sizes the message tells: enough to see whether one volume or a hundred fill the node. */
const MAX_SIZES = 3

/**
 * Says what is needed, what there is, and what holds the rest. Names no pod and no reference: they may be another tenant's.
 *
 * @param options.subject begins the message
 * @param options.evictable what could still be evicted
 * @param options.max set when it is the store's own limit that is in the way; `stored` is what could not be evicted
 */
export function noRoom(options: {
  readonly subject: string
  readonly needed: Size
  readonly space: FreeSpace
  readonly kept: Size
  readonly evictable: Size
  readonly max?: { readonly bytes: number; readonly stored: number }
  readonly inUse: InUse
}): CodedError {
  const { subject, needed, space, kept, evictable, max } = options
  const use = describeUse(options.inUse)
  if (max !== undefined) {
    return new CodedError(
      'EXHAUSTED',
      `${subject}: it needs ${formatBytes(needed.bytes)}, and of the ${formatBytes(max.bytes)} that the store may have${limitHint('max-store-bytes')} ${formatBytes(max.stored)} are taken and cannot be evicted; ${use}`,
    )
  }
  const isBytes = space.bytes + evictable.bytes - kept.bytes < needed.bytes
  const what = isBytes ? 'bytes' : 'inodes'
  const format = isBytes ? formatBytes : (inodes: number) => `${inodes} inodes`
  const flag = isBytes ? 'min-free-bytes' : 'min-free-inodes'
  return new CodedError(
    'EXHAUSTED',
    `${subject}: it needs ${format(needed[what])}, and the node's file system has ${format(space[what])} free, ${format(evictable[what])} of unused artifacts that could be evicted, and ${format(kept[what])} that must stay free${limitHint(flag)}; ${use}; free something, or give the store a larger file system`,
    { cause: tooFull() },
  )
}

function describeUse({ bytes, trees, pods }: InUse): string {
  if (trees.length === 0) return 'no pod of this node uses an artifact'
  const sizes = trees.slice(0, MAX_SIZES).map((tree) => formatBytes(tree.bytes))
  const largest =
    trees.length === 1
      ? ''
      : ` (the largest: ${sizes.join(', ')}${trees.length > MAX_SIZES ? ', ...' : ''})`
  return `${count(pods, 'pod')} of this node ${pods === 1 ? 'uses' : 'use'} ${count(trees.length, 'artifact')} of ${formatBytes(bytes)}${largest}`
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

import { CodedError } from '../../common/errors.ts'
import type { OverlayLayers } from './mounter.ts'

/** mount(2) takes a page of options with the final NUL, cuts the rest without a word, and an overlay lacks a layer then. */
const MAX_BYTES = 4095

/**
 * Writes what mount(2) is told about an overlay: `lowerdir=/l,upperdir=/u,workdir=/w`. Pure.
 *
 * @throws INVALID when a path holds what would end it, or all of it is too long
 * @see https://docs.kernel.org/filesystems/overlayfs.html
 */
export function overlayOptions(
  { lower, upper, work }: OverlayLayers,
  ...others: readonly string[]
): string {
  for (const path of [lower, upper, work]) {
    const found = /[,:\\]/.exec(path)
    if (found === null) continue
    throw new CodedError(
      'INVALID',
      `Cannot lay directory "${path}" over another: its path holds "${found[0]}", which ends a path there; expected --store-directory without it`,
    )
  }
  const options = [`lowerdir=${lower}`, `upperdir=${upper}`, `workdir=${work}`, ...others].join(',')
  const bytes = Buffer.byteLength(options)
  if (bytes <= MAX_BYTES) return options
  throw new CodedError(
    'INVALID',
    `Cannot lay directory "${upper}" over another: the options of the mount have ${bytes} bytes; expected at most ${MAX_BYTES}: a shorter --store-directory`,
  )
}

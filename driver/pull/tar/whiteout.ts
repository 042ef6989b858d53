import { CodedError } from '../../../common/errors.ts'
import { lastName } from '../tree/tree-path.ts'

/** What a name in an image's layer means besides itself. */
export type Whiteout =
  | { readonly kind: 'none' }
  /** `.wh.NAME`: lower layers' NAME is hidden. */
  | { readonly kind: 'entry'; readonly name: string }
  /** `.wh..wh..opq`: lower layers' content of the directory is hidden. */
  | { readonly kind: 'opaque' }
  /** `.wh..wh.*`: AUFS's own files, which mean nothing elsewhere. */
  | { readonly kind: 'metadata' }

const PREFIX = '.wh.'
const METADATA_PREFIX = '.wh..wh.'
const OPAQUE = '.wh..wh..opq'

const NONE: Whiteout = { kind: 'none' }

/**
 * Reads a path of a layer for what it hides.
 *
 * @throws INVALID for a whiteout that would hide its own directory or the one above it (`.wh..`, `.wh...`), for one of nothing, and for one with entries below it
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#whiteouts
 */
export function whiteoutOf(path: string): Whiteout {
  if (!path.includes(PREFIX)) return NONE
  const name = lastName(path)
  const components = path.split('/')
  if (components.some((component) => component.startsWith(METADATA_PREFIX))) {
    return name === OPAQUE ? { kind: 'opaque' } : { kind: 'metadata' }
  }
  if (components.slice(0, -1).some((component) => component.startsWith(PREFIX))) {
    throw new CodedError('INVALID', 'it is below a whiteout file')
  }
  if (!name.startsWith(PREFIX)) return NONE
  const hidden = name.slice(PREFIX.length)
  if (hidden === '' || hidden === '.' || hidden === '..') {
    throw new CodedError('INVALID', `is a whiteout of ${JSON.stringify(hidden)}; expected a name`)
  }
  return { kind: 'entry', name: hidden }
}

import { basename, dirname, resolve } from 'node:path'
import { CodedError } from '../common/errors.ts'
import { bool } from '../common/flags.ts'
import { isRepository } from '../common/oci/reference.ts'

/** Has a command take an OCI layout for the registry, as `oras` does. */
export const LAYOUT_FLAG = {
  'oci-layout': {
    doc: 'REFERENCE is DIRECTORY:TAG or DIRECTORY@DIGEST of an OCI layout on this machine',
    parse: bool,
  },
} as const

/** An artifact in a layout. */
export interface LayoutName {
  /** The directory that the layout's one is in. */
  readonly root: string
  /** As a registry's, e.g. `oci-layout/app:v1`. */
  readonly reference: string
}

/**
 * Reads `DIRECTORY[:TAG][@DIGEST]`, as `oras --oci-layout` takes it.
 *
 * @example parseLayoutName('out/app:v1', '/home/ada') // { root: '/home/ada/out', reference: 'oci-layout/app:v1' }
 * @throws INVALID when the directory's name cannot be that of a repository
 */
export function parseLayoutName(text: string, workingDirectory?: string): LayoutName {
  const [, name = '', rest = ''] = /^(.*?)((?::[^/:@]*)?(?:@[^/@]*)?)$/s.exec(text) ?? []
  const directory = resolve(workingDirectory ?? '.', name)
  const repository = basename(directory)
  if (isRepository(repository)) {
    return { root: dirname(directory), reference: `oci-layout/${repository}${rest}` }
  }
  throw new CodedError(
    'INVALID',
    `Cannot read the OCI layout "${directory}": "${repository}" is not a repository's name; expected lowercase letters, digits, separators "." "_" "-"; rename it`,
  )
}

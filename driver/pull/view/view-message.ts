import { CodedError, isSystemError } from '../../../common/errors.ts'
import { close, openDirectory, openDirectoryAt, statAt } from '../../linux/directory.ts'
import { isWithin, lastName, parentPath } from '../tree/tree-path.ts'
import type { ViewSource } from './view-job.ts'

/** Makes the error for a file of one source where another has a directory; a symbolic link counts as a file. */
export function mergeConflict(conflict: {
  /** In the view. */
  readonly path: string
  readonly source: ViewSource
  /** What the source has there. */
  readonly kind: 'file' | 'directory'
  readonly sources: readonly ViewSource[]
}): CodedError {
  const { path, source, kind, sources } = conflict
  const other = sources.slice(0, sources.indexOf(source)).findLast((before) => has(before, path))
  const otherKind = kind === 'file' ? 'directory' : 'file or link'
  const otherName = other === undefined ? 'another source' : quote(other.name)
  return new CodedError(
    'INVALID',
    `Cannot put ${otherName} and ${quote(source.name)} into one volume: ${quote(path)} is a ${otherKind} in the first and a ${kind === 'file' ? 'file or link' : kind} in the second; give one of them another "path", or leave it out by "files"`,
  )
}

/** Makes the error for a link that another source's content leads astray. */
export function linkLeavesView(path: string, target: string, source: ViewSource): CodedError {
  return new CodedError(
    'INVALID',
    `Cannot put ${quote(source.name)} into one volume with the other sources: its symbolic link ${quote(path)} to ${quote(target)} would leave the volume by way of what another source has there; give it another "path"`,
  )
}

/** Looked up when there is a message to write, so that the good case keeps no record of who placed what. */
function has(source: ViewSource, path: string): boolean {
  const { root, path: place = '' } = source
  if (isWithin(place, path)) return true
  if (!isWithin(path, place)) return false
  const own = place === '' ? path : path.slice(place.length + 1)
  const top = openDirectory(root)
  try {
    const parent = openDirectoryAt(top, parentPath(own) || '.')
    try {
      return statAt(parent, lastName(own)) !== undefined
    } finally {
      close(parent)
    }
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return false
    throw error
  } finally {
    close(top)
  }
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 200))
}

import { constants } from 'node:fs'
import { CodedError, isSystemError } from '../../common/errors.ts'
import { nearest } from '../../common/suggest.ts'
import { close, listDirectory, openAt, openDirectory, openDirectoryAt } from '../linux/directory.ts'
import { joinPath } from '../pull/tree/tree-path.ts'

/** Opens a place without any right to what is there. From <fcntl.h>, the same on x86_64 and arm64. */
const O_PATH = 0o10000000
/** How many names a message lists. */
const MAX_LISTED = 10
/** How many names are looked at for the nearest one. */
const MAX_CANDIDATES = 10_000

/**
 * Checks that what mounts of a volume want of it is there: for a subPath that is missing the kubelet says no more than "failed to create subPath
 * directory".
 *
 * The kubelet resolves subPaths on the host, links included, and refuses one that leads out of the volume. So links are followed here too, as long as
 * they stay beneath the root; an absolute one is a path of the host's, whatever a container would make of it.
 *
 * @param root a tree or view
 * @param subPaths relative and clean
 * @param options.mayLack in a writable volume the kubelet makes what is missing
 * @throws NOT_FOUND with the nearest name; INVALID for one that leads out
 */
export function checkSubPaths(
  root: string,
  subPaths: readonly string[],
  { mayLack = false }: { readonly mayLack?: boolean } = {},
): void {
  if (subPaths.length === 0) return
  const directory = openDirectory(root)
  try {
    for (const subPath of subPaths) checkSubPath(directory, subPath, mayLack)
  } finally {
    close(directory)
  }
}

function checkSubPath(root: number, subPath: string, mayLack: boolean): void {
  try {
    close(openAt(root, subPath, O_PATH, 'beneath-links'))
  } catch (error) {
    if (isSystemError(error, 'EXDEV')) {
      throw invalid(
        subPath,
        'it is or crosses a symbolic link that leaves the volume; the kubelet does not mount what lies outside',
        error,
      )
    }
    if (isSystemError(error, 'ELOOP'))
      throw invalid(subPath, 'its symbolic links go in circles', error)
    if (isSystemError(error, 'ENAMETOOLONG')) throw invalid(subPath, 'it is too long', error)
    if (mayLack && isSystemError(error, 'ENOENT')) return
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) throw missing(root, subPath, error)
    throw error
  }
}

/** Names where the path ends, and what there is instead. */
function missing(root: number, subPath: string, cause: Error): CodedError {
  let there = ''
  let directory = openDirectoryAt(root, '.')
  let wanted = ''
  let isDirectory = true
  try {
    for (const name of subPath.split('/')) {
      wanted = name
      let next: number
      try {
        const flags = constants.O_RDONLY | constants.O_DIRECTORY
        next = openAt(root, joinPath(there, name), flags, 'beneath-links')
      } catch (error) {
        isDirectory = !isSystemError(error, 'ENOTDIR')
        break
      }
      close(directory)
      directory = next
      there = joinPath(there, name)
    }
    const where = there === '' ? 'the volume' : `directory ${quote(there)}`
    if (!isDirectory) {
      return notFound(
        subPath,
        `${quote(joinPath(there, wanted))} is a file, not a directory`,
        cause,
      )
    }
    const names = namesIn(directory)
    if (names.includes(wanted)) {
      return notFound(
        subPath,
        `${quote(joinPath(there, wanted))} is a symbolic link to something that is not there`,
        cause,
      )
    }
    return notFound(subPath, `${where} has no ${quote(wanted)}${instead(wanted, names)}`, cause)
  } finally {
    close(directory)
  }
}

function instead(wanted: string, names: readonly string[]): string {
  if (names.length === 0) return '; it is empty'
  const best = nearest(wanted, names)
  if (best !== undefined) return `; did you mean ${quote(best)}?`
  const more = names.length > MAX_LISTED ? `, and ${names.length - MAX_LISTED} more` : ''
  return `; it has ${names.slice(0, MAX_LISTED).map(quote).join(', ')}${more}`
}

function namesIn(directory: number): readonly string[] {
  const names: string[] = []
  for (const { name } of listDirectory(directory)) {
    if (names.push(Buffer.from(name).toString()) >= MAX_CANDIDATES) break
  }
  return names.sort()
}

function notFound(subPath: string, detail: string, cause: Error): CodedError {
  return new CodedError('NOT_FOUND', `Cannot mount subPath ${quote(subPath)}: ${detail}`, { cause })
}

function invalid(subPath: string, detail: string, cause: Error): CodedError {
  return new CodedError('INVALID', `Cannot mount subPath ${quote(subPath)}: ${detail}`, { cause })
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 200))
}

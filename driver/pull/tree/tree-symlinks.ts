import { isSystemError } from '../../../common/errors.ts'
import { close, openDirectoryAt } from '../../linux/directory.ts'
import { parentPath } from './tree-path.ts'

/** PATH_MAX without its NUL: symlink(2) takes no more. */
const MAX_TARGET_BYTES = 4095

/** Why no tree, an image's neither, can have a symbolic link to `target`; undefined when it can. */
export function targetFault(target: string): string | undefined {
  if (target === '') return 'is a symbolic link to nothing'
  if (/\p{Cc}/u.test(target)) return 'is a symbolic link to a name with a control character'
  if (Buffer.byteLength(target) > MAX_TARGET_BYTES) {
    return `is a symbolic link to a name of more than ${MAX_TARGET_BYTES} bytes`
  }
  return undefined
}

/**
 * Why an artifact's symbolic link at `path` may not point to `target`; undefined when it stays in the tree.
 *
 * Reads the text alone, from the link's own place: `a/l -> ../b` stays, `a/l -> ../../b` and `/b` leave. That is exact as long as no `..`
 * follows a name; else see {@link leadsThroughNames}.
 */
export function symlinkFault(path: string, target: string): string | undefined {
  if (target.startsWith('/')) {
    return `is a symbolic link to the absolute path ${JSON.stringify(target)}; expected one that stays in the artifact`
  }
  let depth = path.split('/').length - 1
  for (const component of target.split('/')) {
    if (component === '' || component === '.') continue
    depth += component === '..' ? -1 : 1
    if (depth < 0) {
      return `is a symbolic link to ${JSON.stringify(target)}, which leaves the artifact`
    }
  }
  return undefined
}

/** Answers whether a target has `..` behind a name, so that where it leads depends on what that name is. */
export function leadsThroughNames(target: string): boolean {
  const components = componentsOf(target)
  const firstName = components.findIndex((component) => component !== '..')
  return firstName >= 0 && components.lastIndexOf('..') > firstName
}

/**
 * Answers whether a link whose target {@link leadsThroughNames} stays in a finished tree: everything up to its last `..` exists,
 * and resolves beneath the root.
 *
 * The attack: `a/s -> ..` and `a/l -> s/../etc`, each harmless by its text, together one level above the root.
 */
export function staysInTree(root: number, path: string, target: string): boolean {
  return whereLinkLeads(root, path, target) === 'inside'
}

/**
 * Tells where a link whose target {@link leadsThroughNames} takes whoever follows it as far as its last `..`. `nowhere`: something is
 * missing on the way there, or no directory, so that nobody gets out.
 */
export function whereLinkLeads(
  root: number,
  path: string,
  target: string,
): 'inside' | 'outside' | 'nowhere' {
  const components = componentsOf(target)
  const upTo = components.slice(0, components.lastIndexOf('..') + 1).join('/')
  try {
    close(openDirectoryAt(root, `${parentPath(path) || '.'}/${upTo}`, 'beneath-links'))
    return 'inside'
  } catch (error) {
    // Too long for one call is not too long for two.
    if (isSystemError(error, 'EXDEV', 'ENAMETOOLONG')) return 'outside'
    if (isSystemError(error, 'ENOENT', 'ELOOP', 'ENOTDIR')) return 'nowhere'
    throw error
  }
}

function componentsOf(target: string): string[] {
  return target.split('/').filter((component) => component !== '' && component !== '.')
}

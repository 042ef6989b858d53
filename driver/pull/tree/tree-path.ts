/** PATH_MAX of Linux, the NUL included: what a program in the pod can name in one call. */
export const MAX_PATH_BYTES = 4096
/** No package we know is half as deep; node_modules of npm 2 reached about 40. */
export const MAX_DEPTH = 64
/** NAME_MAX of ext4, XFS, Btrfs and overlayfs. */
export const MAX_NAME_BYTES = 255

/** The caps of {@link readTreePath}. */
export interface PathLimits {
  readonly pathBytes: number
  readonly depth: number
}

/** Why a name cannot be a path in a tree. */
export interface TreePathFault {
  /** The limit that is in the way, where nothing else is. */
  readonly limit?: keyof PathLimits
  /** Completes `the name "x" ...`, e.g. `is absolute; expected a relative path`. */
  readonly detail: string
}

const CONTROL = /\p{Cc}/u

/**
 * Turns a title or an archive's name into a path below a tree's root: `./a//b/` gives `a/b`, `.` gives the root as `""`.
 *
 * `..` is refused even where it would stay inside, because what it means depends on the links before it.
 *
 * @see docs of the OCI title annotation: https://github.com/opencontainers/image-spec/blob/v1.1.0/annotations.md
 */
export function readTreePath(
  name: string,
  limits: PathLimits = { pathBytes: MAX_PATH_BYTES, depth: MAX_DEPTH },
): string | TreePathFault {
  if (name === '') return forbidden('is empty')
  if (name.startsWith('/')) return forbidden('is absolute; expected a relative path')
  if (CONTROL.test(name)) return forbidden('has a control character')
  if (!name.isWellFormed()) return forbidden('is not valid Unicode')
  if (name.length * 3 > limits.pathBytes && Buffer.byteLength(name) > limits.pathBytes) {
    return { limit: 'pathBytes', detail: `is longer than ${limits.pathBytes} bytes` }
  }
  const components = name.split('/').filter((component) => component !== '' && component !== '.')
  for (const component of components) {
    if (component === '..') return forbidden('has ".." in it')
    if (component.length * 3 > MAX_NAME_BYTES && Buffer.byteLength(component) > MAX_NAME_BYTES) {
      return forbidden(`has a component of more than ${MAX_NAME_BYTES} bytes`)
    }
  }
  if (components.length > limits.depth) {
    return { limit: 'depth', detail: `is deeper than ${limits.depth} directories` }
  }
  return components.join('/')
}

/** The path of what holds `path`: `a/b/c` gives `a/b`, `a` gives the root as `""`. */
export function parentPath(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}

/** The path of `name` in a directory; `""` is the root. */
export function joinPath(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`
}

/** The last component: `a/b/c` gives `c`. */
export function lastName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** Answers whether `path` is `directory` or lies below it; everything lies below the root `""`. */
export function isWithin(path: string, directory: string): boolean {
  return directory === '' || path === directory || path.startsWith(`${directory}/`)
}

function forbidden(detail: string): TreePathFault {
  return { detail }
}

import { posix } from 'node:path'

// Linux: PATH_MAX less the final NUL, NAME_MAX.
const MAX_PATH_BYTES = 4095
const MAX_COMPONENT_BYTES = 255

/** Under these the kubelet, the runtime or the kernel mounts what the container lives on. */
const RESERVED_TREES = [
  '/proc',
  '/sys',
  '/dev',
  '/var/run/secrets/kubernetes.io',
  '/run/secrets/kubernetes.io',
]

/**
 * Says what is wrong with the path of a mount: absolute, clean, not over what a container lives on.
 *
 * @returns text that completes "Invalid ...: ", or undefined for a good path such as `/app`
 */
export function mountPathProblem(path: string): string | undefined {
  const shown = JSON.stringify(path.slice(0, 200))
  if (!path.startsWith('/')) {
    return `${shown} is relative; expected an absolute path, e.g. ${JSON.stringify(posix.join('/', path))}`
  }
  if (path.includes(':'))
    return `${shown} has a ":", which Kubernetes does not allow in mount paths; expected a path without`
  const clean = cleaned(path)
  if (clean !== path) return `${shown} is not clean; expected ${JSON.stringify(clean)}`
  if (path === '/') return '"/" would hide the whole image; expected a directory, e.g. "/app"'
  if (path === '/etc') {
    return '"/etc" would hide what the container needs; expected a path in it, e.g. "/etc/acme"'
  }
  if (path === '/dev/termination-log') {
    return '"/dev/termination-log" belongs to the kubelet; expected another path'
  }
  const tree = RESERVED_TREES.find((reserved) => isWithin(path, reserved))
  if (tree !== undefined)
    return `${shown} is reserved, as is all of "${tree}"; expected another path`
  return lengthProblem(path)
}

/**
 * Says what is wrong with the path of a file or directory inside a volume: relative, clean, not leading out.
 *
 * @returns text that completes "Invalid ...: ", or undefined for a good path such as `lib/app.jar`
 */
export function subPathProblem(path: string): string | undefined {
  const shown = JSON.stringify(path.slice(0, 200))
  if (path === '' || path === '.') return `${shown} is the whole volume; leave it away`
  if (path.startsWith('/')) {
    return `${shown} is absolute; expected a path inside the volume, e.g. ${JSON.stringify(cleaned(path).slice(1))}`
  }
  if (path.split('/').includes('..')) return `${shown} has ".."; expected a path inside the volume`
  const clean = cleaned(path)
  if (clean !== path) return `${shown} is not clean; expected ${JSON.stringify(clean)}`
  return lengthProblem(path)
}

/** Answers whether `path` is `directory` or below it; both are absolute and clean. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === '/' ? '/' : `${directory}/`)
}

function cleaned(path: string): string {
  const normal = posix.normalize(path)
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal
}

function lengthProblem(path: string): string | undefined {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `longer than ${MAX_PATH_BYTES} bytes`
  const long = path.split('/').find((part) => Buffer.byteLength(part) > MAX_COMPONENT_BYTES)
  if (long === undefined) return undefined
  return `"${long.slice(0, 30)}…" is longer than ${MAX_COMPONENT_BYTES} bytes`
}

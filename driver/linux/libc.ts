import { constants } from 'node:os'
import koffi from 'koffi'

const ERRNO_NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]))
// koffi knows the names that Node does not (ELOOP is in both, EUCLEAN in koffi only).
for (const [name, number] of Object.entries(koffi.os.errno)) {
  if (!ERRNO_NAMES.has(number)) ERRNO_NAMES.set(number, name)
}

/** An argument of a system call: a number, a path, a structure, or nothing. */
type Argument = number | bigint | string | Uint8Array | BigUint64Array | null

const libc = koffi.load(null)

const prototypes = new Map<string, (...args: Argument[]) => number>()

/**
 * Makes a function of a raw system call. `types` are koffi types, e.g. `["int", "const char *", "void *", "size_t"]`.
 *
 * System calls are made by number, so that neither an old glibc nor musl lacks a wrapper for the newer ones. The function throws
 * an error as `fs` does (`code` "ENOENT", negative `errno`, `syscall`, `path`), the path being the first string argument.
 */
export function systemCall(
  name: string,
  number: number,
  types: readonly string[],
): (...args: Argument[]) => number {
  const signature = types.join(', ')
  let raw = prototypes.get(signature)
  if (raw === undefined) {
    raw = libc.func(`long syscall(${['long', ...types].join(', ')})`) as (
      ...args: Argument[]
    ) => number
    prototypes.set(signature, raw)
  }
  const call = raw
  return (...args) => {
    const result = call(number, ...args)
    if (result < 0) throw systemError(koffi.errno(), name, args)
    return result
  }
}

function systemError(errno: number, syscall: string, args: readonly Argument[]): Error {
  const code = ERRNO_NAMES.get(errno) ?? `E${errno}`
  const path = args.find((argument) => typeof argument === 'string')
  const error: NodeJS.ErrnoException = new Error(
    `${code}: ${syscall}${path === undefined ? '' : ` '${path}'`}`,
  )
  error.code = code
  error.errno = -errno
  error.syscall = syscall
  if (path !== undefined) error.path = path
  return error
}

/**
 * The same as {@link systemCall}, on a thread of its own: for calls that may block for long. The error carries no `code`,
 * since `errno` belongs to the other thread.
 */
export function systemCallInBackground(
  name: string,
  number: number,
  types: readonly string[],
): (...args: Argument[]) => Promise<number> {
  const raw = libc.func(`long syscall(${['long', ...types].join(', ')})`)
  return (...args) =>
    new Promise((resolve, reject) => {
      raw.async(number, ...args, (error: unknown, result: number) => {
        if (error !== null && error !== undefined) reject(error)
        else if (result < 0) reject(new Error(`${name} failed`))
        else resolve(result)
      })
    })
}

import { CodedError } from '../../common/errors.ts'
import { systemCall } from './libc.ts'

/**
 * Numbers of the system calls that take directory descriptors.
 *
 * @see https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/arch/x86/entry/syscalls/syscall_64.tbl
 * @see https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/scripts/syscall.tbl (arm64)
 */
const NUMBERS = {
  x64: {
    getdents64: 217,
    linkat: 265,
    lseek: 8,
    mkdirat: 258,
    openat2: 437,
    readlinkat: 267,
    renameat2: 316,
    statx: 332,
    symlinkat: 266,
    unlinkat: 263,
    utimensat: 280,
  },
  arm64: {
    getdents64: 61,
    linkat: 37,
    lseek: 62,
    mkdirat: 34,
    openat2: 437,
    readlinkat: 78,
    renameat2: 276,
    statx: 291,
    symlinkat: 36,
    unlinkat: 35,
    utimensat: 88,
  },
} as const satisfies Record<string, Record<string, number>>

function numbersOf(architecture: string): Record<keyof (typeof NUMBERS)['x64'], number> {
  if (architecture === 'x64' || architecture === 'arm64') return NUMBERS[architecture]
  throw new CodedError(
    'INTERNAL',
    `Cannot make system calls: the numbers for "${architecture}" are not known, only those for x64 and arm64`,
  )
}

const numbers = numbersOf(process.arch)

/** openat2(dirfd, path, how, sizeof how): the path is a string, or bytes that end in NUL. */
export const openat2 = systemCall('openat2', numbers.openat2, [
  'int',
  'const char *',
  'void *',
  'size_t',
])
export const mkdirat = systemCall('mkdirat', numbers.mkdirat, ['int', 'const char *', 'uint'])
export const unlinkat = systemCall('unlinkat', numbers.unlinkat, ['int', 'const char *', 'int'])
export const symlinkat = systemCall('symlinkat', numbers.symlinkat, [
  'const char *',
  'int',
  'const char *',
])
export const linkat = systemCall('linkat', numbers.linkat, [
  'int',
  'const char *',
  'int',
  'const char *',
  'int',
])
export const renameat2 = systemCall('renameat2', numbers.renameat2, [
  'int',
  'const char *',
  'int',
  'const char *',
  'uint',
])
export const readlinkat = systemCall('readlinkat', numbers.readlinkat, [
  'int',
  'const char *',
  'void *',
  'size_t',
])
export const statx = systemCall('statx', numbers.statx, [
  'int',
  'const char *',
  'int',
  'uint',
  'void *',
])
/** utimensat(fd, NULL, times, 0): the descriptor itself, as futimens(3) calls it. */
export const futimens = systemCall('utimensat', numbers.utimensat, [
  'int',
  'void *',
  'void *',
  'int',
])
export const getdents64 = systemCall('getdents64', numbers.getdents64, ['int', 'void *', 'size_t'])
export const lseek = systemCall('lseek', numbers.lseek, ['int', 'long', 'int'])

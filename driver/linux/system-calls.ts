import { CodedError } from '../../common/errors.ts'

/**
 * The numbers of the system calls that this project makes; those from 424 on are the same on every architecture.
 *
 * @see https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/arch/x86/entry/syscalls/syscall_64.tbl
 * @see https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/scripts/syscall.tbl (arm64)
 */
export const SYSTEM_CALL_NUMBERS = {
  x64: {
    flock: 73,
    getdents64: 217,
    ioctl: 16,
    linkat: 265,
    lseek: 8,
    mkdirat: 258,
    mount: 165,
    mount_setattr: 442,
    move_mount: 429,
    open_tree: 428,
    openat2: 437,
    prctl: 157,
    readlinkat: 267,
    renameat2: 316,
    statfs: 137,
    statx: 332,
    symlinkat: 266,
    syncfs: 306,
    umount2: 166,
    unlinkat: 263,
    utimensat: 280,
  },
  arm64: {
    flock: 32,
    getdents64: 61,
    ioctl: 29,
    linkat: 37,
    lseek: 62,
    mkdirat: 34,
    mount: 40,
    mount_setattr: 442,
    move_mount: 429,
    open_tree: 428,
    openat2: 437,
    prctl: 167,
    readlinkat: 78,
    renameat2: 276,
    statfs: 43,
    statx: 291,
    symlinkat: 36,
    syncfs: 267,
    umount2: 39,
    unlinkat: 35,
    utimensat: 88,
  },
} as const satisfies Record<string, Readonly<Record<string, number>>>

/** A system call that has a number here. */
export type SystemCallName = keyof (typeof SYSTEM_CALL_NUMBERS)['x64' | 'arm64']

/**
 * Gives the numbers of an architecture, as Node names it.
 *
 * @throws INTERNAL when they are not known: another architecture's would be other calls
 */
export function systemCallNumbers(
  architecture: string = process.arch,
): Readonly<Record<SystemCallName, number>> {
  if (architecture === 'x64' || architecture === 'arm64') return SYSTEM_CALL_NUMBERS[architecture]
  throw new CodedError(
    'INTERNAL',
    `Cannot make system calls: the numbers for "${architecture}" are not known, only those for x64 and arm64`,
  )
}

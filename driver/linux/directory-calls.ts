import { systemCall } from './libc.ts'
import { systemCallNumbers } from './system-calls.ts'

const numbers = systemCallNumbers()

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

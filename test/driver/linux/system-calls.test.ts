import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  SYSTEM_CALL_NUMBERS,
  type SystemCallName,
  systemCallNumbers,
} from '../../../driver/linux/system-calls.ts'
import { skipUnless } from '../../support/skip-unless.ts'

/**
 * The kernel's own numbers, of Debian's package linux-libc-dev. arm64 has those of `asm-generic`, which the package holds on every
 * architecture; those of x86-64 it holds there only, and its cross package for them elsewhere.
 *
 * @see https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/arch/arm64/include/uapi/asm/unistd.h
 */
const HEADERS = {
  x64: [
    '/usr/include/x86_64-linux-gnu/asm/unistd_64.h',
    '/usr/x86_64-linux-gnu/include/asm/unistd_64.h',
  ],
  arm64: ['/usr/include/asm-generic/unistd.h'],
} as const

test.for(['x64', 'arm64'] as const)(
  'the numbers for %s are those of the kernel’s header',
  (architecture, context) => {
    const header = HEADERS[architecture].find((path) => existsSync(path))
    skipUnless(context, header === undefined ? 'not installed: linux-libc-dev' : undefined)
    if (header === undefined) return
    const defined = numbersIn(readFileSync(header, 'utf8'))
    const ours: Record<string, number> = SYSTEM_CALL_NUMBERS[architecture]
    const theirs = Object.keys(ours).map((name) => [name, defined.get(name)])
    expect(ours).toStrictEqual(Object.fromEntries(theirs))
  },
)

/** Reads `#define __NR_openat2 437`, and `#define __NR3264_statfs 43`, which on 64-bit machines is `__NR_statfs`. */
function numbersIn(header: string): Map<string, number> {
  const lines = header.matchAll(/^#define __NR(?:3264)?_(\w+) (\d+)$/gm)
  return new Map([...lines].map(([, name = '', number]) => [name, Number(number)]))
}

test('each architecture has a number for every call, and no two calls have the same', () => {
  for (const numbers of Object.values(SYSTEM_CALL_NUMBERS)) {
    expect(Object.keys(numbers)).toStrictEqual(Object.keys(SYSTEM_CALL_NUMBERS.x64))
    expect(new Set(Object.values(numbers)).size).toBe(Object.keys(numbers).length)
  }
})

test('the machine’s own are given, and those of an unknown architecture refused', () => {
  const architecture = process.arch === 'arm64' ? 'arm64' : 'x64'
  expect(systemCallNumbers()).toBe(SYSTEM_CALL_NUMBERS[architecture])
  const name: SystemCallName = 'openat2'
  expect(systemCallNumbers('arm64')[name]).toBe(437)
  expect(() => systemCallNumbers('riscv64')).toThrow(
    expect.objectContaining({
      code: 'INTERNAL',
      message:
        'Cannot make system calls: the numbers for "riscv64" are not known, only those for x64 and arm64',
    }),
  )
})

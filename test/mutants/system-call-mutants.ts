import type { Mutant } from './mutant.ts'

const SYSTEM_CALLS = ['test/driver/linux/system-calls.test.ts']

/** Breakages of the table of system calls: on this machine only one of its columns is ever used. */
export const SYSTEM_CALL_MUTANTS: readonly Mutant[] = [
  {
    name: 'renames on arm64 by a call without flags, which overwrites',
    file: 'driver/linux/system-calls.ts',
    text: 'renameat2: 276',
    replacement: 'renameat2: 38',
    tests: SYSTEM_CALLS,
  },
  {
    name: 'asks for the mount of a path on arm64 by the number of x86-64',
    file: 'driver/linux/system-calls.ts',
    text: 'statfs: 43',
    replacement: 'statfs: 137',
    tests: SYSTEM_CALLS,
  },
  {
    name: 'makes the calls of another architecture where its own are not known',
    file: 'driver/linux/system-calls.ts',
    text: "if (architecture === 'x64' || architecture === 'arm64') return SYSTEM_CALL_NUMBERS[architecture]",
    replacement: "return SYSTEM_CALL_NUMBERS[architecture === 'x64' ? 'x64' : 'arm64']",
    tests: SYSTEM_CALLS,
  },
]

import { systemCall } from './libc.ts'

/** PR_SET_PDEATHSIG of <linux/prctl.h>. */
const SET_PARENT_DEATH_SIGNAL = 1
const SIGKILL = 9
const PRCTL_NUMBERS: Readonly<Record<string, number>> = { x64: 157, arm64: 167 }

/**
 * Has the kernel kill this process when the thread that started it ends, e.g. because its process was killed: an orphan must not go on
 * writing to what the next process takes up.
 *
 * @param parent who started this process; gone already, this process ends here
 */
export function dieWithParent(parent: number): void {
  const prctl = systemCall('prctl', PRCTL_NUMBERS[process.arch] ?? 167, ['int', 'ulong'])
  prctl(SET_PARENT_DEATH_SIGNAL, SIGKILL)
  if (process.ppid !== parent) process.exit(1)
}

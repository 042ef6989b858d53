import { systemCall } from './libc.ts'
import { systemCallNumbers } from './system-calls.ts'

/** PR_SET_PDEATHSIG of <linux/prctl.h>. */
const SET_PARENT_DEATH_SIGNAL = 1
const SIGKILL = 9

/**
 * Has the kernel kill this process when the thread that started it ends, e.g. because its process was killed: an orphan must not go on
 * writing to what the next process takes up.
 *
 * @param parent who started this process; gone already, this process ends here
 */
export function dieWithParent(parent: number): void {
  const prctl = systemCall('prctl', systemCallNumbers().prctl, ['int', 'ulong'])
  prctl(SET_PARENT_DEATH_SIGNAL, SIGKILL)
  if (process.ppid !== parent) process.exit(1)
}

import { systemCall, systemCallInBackground } from './libc.ts'
import { systemCallNumbers } from './system-calls.ts'

const numbers = systemCallNumbers()

const LOCK_EX = 2
const LOCK_NB = 4

const flockCall = systemCall('flock', numbers.flock, ['int', 'int'])
const syncfsCall = systemCallInBackground('syncfs', numbers.syncfs, ['int'])

/**
 * Takes an exclusive lock on an open file, without waiting. It ends when the descriptor is closed or the process dies.
 *
 * @throws EWOULDBLOCK (`EAGAIN`) when another open file description holds it
 */
export function lockExclusively(fd: number): void {
  flockCall(fd, LOCK_EX | LOCK_NB)
}

/** Writes everything of the file system that `fd` lies on to its disk; takes seconds on a busy one. */
export async function syncFileSystemInBackground(fd: number): Promise<void> {
  await syncfsCall(fd)
}

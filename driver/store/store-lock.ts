import { closeSync, openSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { isSystemError } from '../../common/errors.ts'
import { rejectOnAbort } from '../keyed-lock.ts'
import { lockExclusively } from '../linux/filesystem.ts'

/** How often a driver that waits for another's store looks again: a rolling update should not wait noticeably longer. */
const POLL_MS = 250

/**
 * Holds a file locked for this process alone. Two drivers on one store would evict each other's content; during a rolling update the
 * second one waits here.
 *
 * @throws the signal's reason when it fires first
 */
export async function lockStore(options: {
  readonly path: string
  readonly signal: AbortSignal
  readonly onWait?: () => void
}): Promise<Disposable> {
  const fd = openSync(options.path, 'a', 0o600)
  try {
    for (let attempt = 0; ; attempt += 1) {
      options.signal.throwIfAborted()
      try {
        lockExclusively(fd)
        let held = true
        return {
          [Symbol.dispose]: () => {
            if (held) closeSync(fd)
            held = false
          },
        }
      } catch (error) {
        if (!isSystemError(error, 'EAGAIN', 'EWOULDBLOCK')) throw error
        if (attempt === 0) options.onWait?.()
        await rejectOnAbort(delay(POLL_MS), options.signal)
      }
    }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

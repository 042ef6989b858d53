import { toCodedError } from '../../common/errors.ts'
import { isOutOfSpace } from '../linux/free-space.ts'
import type { Publisher } from '../volume/publisher.ts'
import type { DriverObserver, ResultCode } from './driver-metrics.ts'

/**
 * A publisher whose calls are counted. When one found the file system full, room is made in the background, so that the kubelet's next try
 * finds some.
 */
export function observePublisher(
  publisher: Publisher,
  options: {
    readonly observer: DriverObserver
    readonly onOutOfSpace: () => void
  },
): Publisher {
  const { observer, onOutOfSpace } = options
  const observed = async (
    call: () => Promise<void>,
    done: (code: ResultCode, seconds: number) => void,
  ) => {
    const started = performance.now()
    let code: ResultCode = 'OK'
    try {
      await call()
    } catch (error) {
      code = toCodedError(error).code
      if (isOutOfSpace(error)) onOutOfSpace()
      throw error
    } finally {
      done(code, (performance.now() - started) / 1_000)
    }
  }
  return {
    publish: (request, signal) =>
      observed(() => publisher.publish(request, signal), observer.published),
    unpublish: (volumeId, target, signal) =>
      observed(() => publisher.unpublish(volumeId, target, signal), observer.unpublished),
    usage: publisher.usage,
  }
}

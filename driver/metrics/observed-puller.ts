import type { Puller } from '../pull/puller.ts'
import type { DriverObserver } from './driver-metrics.ts'

/** A puller of which is counted how often the node had what was asked for. */
export function observePuller(puller: Puller, observer: Pick<DriverObserver, 'asked'>): Puller {
  return {
    async ensureTree(source, call) {
      let isMissing = false
      const tree = await puller
        .ensureTree(source, {
          ...call,
          onPull(progress) {
            isMissing = true
            call.onPull?.(progress)
          },
        })
        .finally(() => {
          if (isMissing) observer.asked('miss')
        })
      if (!isMissing) observer.asked('hit')
      return tree
    },
    [Symbol.asyncDispose]: () => puller[Symbol.asyncDispose](),
  }
}

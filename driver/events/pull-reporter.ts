import { isCodedError } from '../../common/errors.ts'
import { formatReference } from '../../common/oci/reference.ts'
import { formatBytes, formatProgress } from '../pull/format-progress.ts'
import type { Progress } from '../pull/jobs.ts'
import type { Puller } from '../pull/puller.ts'
import type { OnEvicted } from '../store/eviction/evictor.ts'
import type { LeasePod } from '../store/leases.ts'
import { createBoundedMap } from './bounded-map.ts'
import { formatDuration } from './duration-text.ts'
import type { EventRecorder } from './event-recorder.ts'

/** Tells pods about the pulls that they wait for. */
export interface PullReporter {
  /**
   * The same puller, for one volume of a pod. What the node has already is not told: a thousand pods of a job would be a thousand events, and the pod
   * starts at once.
   */
  watch(puller: Puller, pod: LeasePod): Puller
  /** Notes what was evicted, so that who has to wait for it again is told why. */
  readonly evicted: OnEvicted
}

/** What takes less is told once, when it is over. */
const SHORT_MS = 1_000
const PROGRESS_MS = 30_000
/** How often a size is waited for. */
const PATIENCE = 5
const MAX_PULLS = 1_000
const MAX_EVICTED = 10_000

/** A pull that a pod waits for, over several calls of the kubelet. */
interface Wait {
  readonly startedMs: number
  toldMs: number | undefined
}

/** @param options.now milliseconds on a clock that does not jump */
export function createPullReporter(options: {
  readonly recorder: EventRecorder
  readonly shortMs?: number
  readonly progressMs?: number
  readonly now?: () => number
}): PullReporter {
  const { recorder, shortMs = SHORT_MS, progressMs = PROGRESS_MS } = options
  const { now = () => performance.now() } = options
  const waits = createBoundedMap<string, Wait>(MAX_PULLS)
  const evictedAt = createBoundedMap<string, number>(MAX_EVICTED)

  /** Tells how far it is, now and then, until the timer it gives is cleared. */
  const tellProgress = (
    wait: Wait,
    progress: () => Progress | undefined,
    tell: (text: string) => void,
  ) => {
    const told = wait.toldMs
    const dueMs = told === undefined ? wait.startedMs + shortMs : told + progressMs
    let patience = PATIENCE
    const schedule = (ms: number) => {
      timer.current = setTimeout(
        () => {
          const found = progress()
          // The first thing to be told is the size, which is known soon.
          if ((found?.total ?? 0) === 0 && patience > 0) {
            patience -= 1
            return schedule(shortMs)
          }
          wait.toldMs = now()
          tell(progressText(found))
          schedule(progressMs)
        },
        Math.max(0, ms),
      ).unref()
    }
    const timer: { current?: NodeJS.Timeout } = {}
    schedule(dueMs - now())
    return timer
  }

  return {
    evicted({ kind, key }) {
      if (kind === 'tree') evictedAt.set(key, now())
    },
    watch: (puller, pod) => ({
      async ensureTree(source, call) {
        const name = formatReference(source.reference)
        const key = `${pod.uid} ${name}`
        let timer: { current?: NodeJS.Timeout } = {}
        try {
          const tree = await puller.ensureTree(source, {
            ...call,
            onPull(progress) {
              call.onPull?.(progress)
              const wait = waits.get(key) ?? { startedMs: now(), toldMs: undefined }
              waits.set(key, wait)
              clearTimeout(timer.current)
              timer = tellProgress(wait, progress, (text) =>
                recorder.record({
                  ...{ pod, type: 'Normal', reason: 'PullingArtifact', subject: name },
                  message: `Pulling artifact "${name}"${text}`,
                }),
              )
            },
          })
          const wait = waits.get(key)
          if (wait !== undefined) {
            waits.delete(key)
            const again = evictedAt.get(tree.key)
            recorder.record({
              ...{ pod, type: 'Normal', reason: 'PulledArtifact', subject: name },
              message: `Pulled artifact "${name}" (${formatBytes(tree.meta.bytes)}) in ${formatDuration(now() - wait.startedMs)}${againText(again, now())}`,
            })
          }
          return tree
        } catch (error) {
          // Still pulling: the kubelet comes again, and the pod has been waiting since.
          if (!isCodedError(error, 'PENDING')) waits.delete(key)
          throw error
        } finally {
          clearTimeout(timer.current)
        }
      },
      [Symbol.asyncDispose]: () => puller[Symbol.asyncDispose](),
    }),
  }
}

/** `: 1.2 GiB of 15.0 GiB`; only the size before the first byte, nothing before that is known. */
function progressText(progress: Progress | undefined): string {
  if (progress === undefined || progress.total === 0) return ''
  return `: ${progress.done === 0 ? formatBytes(progress.total) : formatProgress(progress)}`
}

function againText(evictedMs: number | undefined, nowMs: number): string {
  if (evictedMs === undefined) return ''
  return `, again: this node had evicted it ${formatDuration(nowMs - evictedMs)} before`
}

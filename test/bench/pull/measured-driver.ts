import { join } from 'node:path'
import type { TestDriver, TestNode } from '../../support/driver.ts'
import type { PublishRequest } from '../../support/kubelet.ts'
import type { ChildProcess, OutputLine } from '../../support/process.ts'
import { cpuMs, memoryMb, timed } from '../measure.ts'
import type { Lap } from '../stopwatch.ts'

/** A driver process, as deployed but for a meter of its event loop. Disposing kills it. */
export interface MeasuredDriver extends AsyncDisposable {
  readonly pid: number
  /** Publishes an artifact for one more pod, or so many at once, and says what that took the driver, from the call to the last answer. */
  publish(reference: string, pods?: number): Promise<Published>
}

/** A volume that is mounted. Disposing unpublishes it. */
export interface Published extends AsyncDisposable {
  readonly lap: Lap
  /** Where the first pod would see it. */
  readonly path: string
}

// No pull here may end because the caller went away.
const DEADLINE_MS = 600_000

/** Adds the meter, loaded before the driver, to an environment that may have options for Node already. */
export function metered(env: Readonly<Record<string, string>>): Record<string, string> {
  const meter = `--import=${new URL('../event-loop-meter.ts', import.meta.url).href}`
  return { ...env, NODE_OPTIONS: `${env['NODE_OPTIONS'] ?? ''} ${meter}`.trim() }
}

/** Starts it with a store of its own below a directory: what is there already is used. */
export async function startMeasuredDriver(
  node: TestNode,
  options: {
    readonly env: Readonly<Record<string, string>>
    readonly directory: string
  },
): Promise<MeasuredDriver> {
  const driver = await node.startDriver({
    env: metered(options.env),
    args: ['--store-directory', join(options.directory, 'store')],
  })
  const { pid } = driver.process
  return {
    pid,
    publish: async (reference, pods = 1) => {
      const requests = await Promise.all(
        Array.from({ length: pods }, () => node.request(nextPod(), reference)),
      )
      await readEventLoop(driver.process)
      const cpuBefore = await cpuMs(pid)
      const seconds = await timeToPublish(driver, requests)
      const cpu = (await cpuMs(pid)) - cpuBefore
      const eventLoop = await readEventLoop(driver.process)
      const { peak } = await memoryMb(pid)
      return {
        lap: { seconds, cpuSeconds: cpu / 1_000, peakMb: peak, eventLoop },
        path: requests[0]?.target_path ?? '',
        [Symbol.asyncDispose]: async () => {
          const options = { deadlineMs: DEADLINE_MS }
          await Promise.all(requests.map((one) => driver.csi.nodeUnpublishVolume(one, options)))
        },
      }
    },
    [Symbol.asyncDispose]: () => driver[Symbol.asyncDispose](),
  }
}

let podsSoFar = 0

function nextPod(): string {
  podsSoFar += 1
  return `pod-${podsSoFar}`
}

async function timeToPublish(
  { csi }: TestDriver,
  requests: readonly PublishRequest[],
): Promise<number> {
  const options = { deadlineMs: DEADLINE_MS }
  const ms = await timed(() =>
    Promise.all(requests.map((request) => csi.nodePublishVolume(request, options))),
  )
  return ms / 1_000
}

/** What the meter measured since it was last read. */
async function readEventLoop(process: ChildProcess): Promise<{ p99Ms: number; maxMs: number }> {
  const isMeter = ({ json }: OutputLine) => json?.['msg'] === 'event loop delay'
  const read = process.lines.filter(isMeter).length
  const next = process.waitForLine((line) => isMeter(line) && line.json?.['count'] === read + 1)
  process.kill('SIGUSR2')
  const { json } = await next
  return { p99Ms: Number(json?.['p99Ms']), maxMs: Number(json?.['maxMs']) }
}

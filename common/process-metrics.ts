import { readdir } from 'node:fs/promises'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Metrics } from './metrics.ts'

const RESOLUTION_MS = 20
/** One value each: the longest in which nobody was answered. */
const WINDOW_MS = 10_000
/** The kubelet unregisters a plugin that does not answer for a second, and an API server may wait no longer for a webhook. */
const DELAY_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5]

/** Adds what Prometheus expects of every process, by the names it has everywhere, and how long the event loop was held. The disposal stops measuring. */
export function addProcessMetrics(metrics: Metrics): Disposable {
  metrics.gauge('process_resident_memory_bytes', 'Resident memory size in bytes.', () =>
    process.memoryUsage.rss(),
  )
  metrics.gauge(
    'process_cpu_seconds_total',
    'Total user and system CPU time spent in seconds.',
    () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    },
    'counter',
  )
  const startSeconds = Date.now() / 1_000 - process.uptime()
  metrics.gauge(
    'process_start_time_seconds',
    'Start time of the process since unix epoch in seconds.',
    () => startSeconds,
  )
  metrics.gauge(
    'process_open_fds',
    'Number of open file descriptors.',
    async () => (await readdir('/proc/self/fd')).length,
  )

  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delays.enable()
  const longest = metrics.histogram(
    'oras_csi_event_loop_longest_delay_seconds',
    'The longest delay of the event loop within each 10 seconds.',
    DELAY_BOUNDS,
  )
  const timer = setInterval(() => {
    // What is recorded is the time between two looks, which are to be so far apart.
    longest.observe(Math.max(0, delays.max / 1e9 - RESOLUTION_MS / 1e3))
    delays.reset()
  }, WINDOW_MS).unref()
  return {
    [Symbol.dispose]() {
      clearInterval(timer)
      delays.disable()
    },
  }
}

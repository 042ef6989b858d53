import { monitorEventLoopDelay } from 'node:perf_hooks'
import process from 'node:process'
import { isMainThread } from 'node:worker_threads'

// Loaded into the process that is measured, before its own code: `node --import .../event-loop-meter.ts`. At every SIGUSR2 it writes
// a line of JSON among the process's own, with how late timers were since the last one, and begins anew.

const RESOLUTION_MS = 10

// Workers are loaded with the same flags, and may block as long as they like.
if (isMainThread) {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  histogram.enable()
  let count = 0
  process.on('SIGUSR2', () => {
    count += 1
    // What is recorded is the time between two looks, and they are to be so far apart.
    const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS)
    const line = {
      msg: 'event loop delay',
      count,
      p50Ms: late(histogram.percentile(50)),
      p99Ms: late(histogram.percentile(99)),
      maxMs: late(histogram.max),
    }
    histogram.reset()
    process.stdout.write(`${JSON.stringify(line)}\n`)
  })
}

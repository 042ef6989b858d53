import { join } from 'node:path'
import { run } from '../support/command.ts'
import { buildGo } from '../support/go-build.ts'

/** What one run took, of whatever ran. */
export interface Lap {
  readonly seconds: number
  /** User and system. */
  readonly cpuSeconds?: number
  /** Resident memory, in MB (10^6 bytes). */
  readonly peakMb?: number
  /** How late the event loop was meanwhile. */
  readonly eventLoop?: { readonly p99Ms: number; readonly maxMs: number }
}

/** Runs commands as whole processes, from before their start until they have ended, and says what that took. */
export type Stopwatch = (command: string, args: readonly string[]) => Promise<Lap>

/** Builds the program that does it, if need be: in this process, the start of a process would take as long as a small pull. */
export async function openStopwatch(): Promise<Stopwatch> {
  const directory = new URL('stopwatch', import.meta.url).pathname
  const built = await buildGo({ name: 'bench-stopwatch', directory, packages: '.' })
  const program = join(built, 'stopwatch')
  return async (command, args) => {
    const lap: { seconds: number; cpuSeconds: number; peakBytes: number } = JSON.parse(
      await run(program, [command, ...args], { timeoutMs: TIMEOUT_MS }),
    )
    return { seconds: lap.seconds, cpuSeconds: lap.cpuSeconds, peakMb: lap.peakBytes / 1e6 }
  }
}

// 2 GiB behind 50 MB/s take 43 s.
const TIMEOUT_MS = 600_000

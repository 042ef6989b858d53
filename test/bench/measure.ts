import { readFile } from 'node:fs/promises'

/** One row of the table: what was measured, and what must be reached. */
export interface Row {
  readonly what: string
  /** By name, e.g. `{ "p50 ms": 1.2 }`. */
  readonly values: Readonly<Record<string, number>>
  /** Upper bounds by the same names. */
  readonly atMost: Readonly<Record<string, number>>
}

/** The value below which `share` (0 to 1) of the samples lie. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** Runs work and says how many milliseconds it took. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return performance.now() - started
}

/** User and system time of a process so far, in milliseconds. @see proc_pid_stat(5) */
export async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS
}

// sysconf(_SC_CLK_TCK) is 100 on every Linux that Node runs on.
const CLOCK_TICK_MS = 10

/** Resident memory of a process now and at its peak, in MB (10^6 bytes). */
export async function memoryMb(pid: number): Promise<{ now: number; peak: number }> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8')
  const kilobytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1])
  return { now: (kilobytes('VmRSS') * 1024) / 1e6, peak: (kilobytes('VmHWM') * 1024) / 1e6 }
}

/** Writes the rows as a table for people. */
export function formatTable(rows: readonly Row[]): string {
  const lines = rows.flatMap(({ what, values, atMost }) =>
    Object.entries(values).map(([name, value], index) => {
      const bound = atMost[name]
      const verdict = bound === undefined ? '' : value <= bound ? 'reached' : 'MISSED'
      return [
        index === 0 ? what : '',
        name,
        value.toFixed(value < 10 ? 2 : 0),
        bound === undefined ? '' : `<= ${bound}`,
        verdict,
      ]
    }),
  )
  const head = ['what', 'figure', 'measured', 'must be', '']
  const widths = head.map((title, column) =>
    Math.max(title.length, ...lines.map((line) => line[column]?.length ?? 0)),
  )
  return [head, ...lines]
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** The figures that miss their bound, e.g. `start to ready: driver ms 812 > 700`. */
export function missed(rows: readonly Row[]): string[] {
  return rows.flatMap(({ what, values, atMost }) =>
    Object.entries(atMost).flatMap(([name, bound]) => {
      const value = values[name]
      return value !== undefined && value <= bound ? [] : [`${what}: ${name} ${value} > ${bound}`]
    }),
  )
}

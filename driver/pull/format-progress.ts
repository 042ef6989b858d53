import type { Progress } from './jobs.ts'

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** Writes bytes for people: `512 B`, `1.2 GiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`
}

/** Writes how far a pull is: `1.2 GiB of 15.0 GiB`. */
export function formatProgress({ done, total }: Progress): string {
  return `${formatBytes(done)} of ${formatBytes(total)}`
}

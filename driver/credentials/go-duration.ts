/** Nanoseconds are Go's; what is kept for a part of a millisecond is not kept. */
const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
}

/**
 * Reads a duration as Go writes it in Kubernetes documents: `12h`, `1h30m`, `6h0m0s`, `1.5s`, `0`.
 *
 * @returns milliseconds; undefined for anything else, and for a negative one
 * @see https://pkg.go.dev/time#ParseDuration
 */
export function parseGoDuration(text: string): number | undefined {
  const value = text.replace(/^\+/, '')
  if (value === '0') return 0
  if (!/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(value)) return undefined
  let ms = 0
  for (const [, number = '', unit = ''] of value.matchAll(/([\d.]+)([a-zµμ]+)/g)) {
    ms += Number(number) * (UNITS_MS[unit] ?? Number.NaN)
  }
  return ms
}

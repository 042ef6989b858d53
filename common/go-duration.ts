const MICROSECOND_NS = 1_000
const SECOND_NS = 1_000_000_000

/** Both letters stand for micro: the micro sign U+00B5 and the Greek mu U+03BC. */
const UNITS_NS: Readonly<Record<string, number>> = {
  ns: 1,
  us: MICROSECOND_NS,
  '\u00B5s': MICROSECOND_NS,
  '\u03BCs': MICROSECOND_NS,
  ms: 1_000_000,
  s: SECOND_NS,
  m: 60 * SECOND_NS,
  h: 3_600 * SECOND_NS,
}

const UNIT = Object.keys(UNITS_NS).join('|')
const NUMBER = String.raw`(?:\d+(?:\.\d*)?|\.\d+)`
const DURATION = new RegExp(`^([+-]?)(0|(?:${NUMBER}(?:${UNIT}))+)$`)
const PART = new RegExp(String.raw`(\d*)(?:\.(\d*))?(${UNIT})`, 'g')

/** A duration of Go is a signed number of nanoseconds in 64 bits. */
const LIMIT_NS = 2n ** 63n
const NS_PER_MS = 1e6

/**
 * Reads a duration as Go writes it: `12h`, `1h30m`, `6h0m0s`, `1.5s`, `-250ms`, `10µs`, `0`. What is a part of a nanosecond is dropped.
 *
 * @returns milliseconds, with a fraction for what is shorter; undefined for anything that Go refuses, e.g. what is longer than 292 years
 * @see https://pkg.go.dev/time#ParseDuration
 */
export function parseGoDuration(text: string): number | undefined {
  const [, sign, amount = ''] = DURATION.exec(text) ?? []
  if (sign === undefined) return undefined
  let sumNs = 0n
  for (const [, whole = '', fraction = '', unit = ''] of amount.matchAll(PART)) {
    const unitNs = UNITS_NS[unit] ?? Number.NaN
    // Looked at as a number first: to make one of a megabyte of digits exactly takes long.
    if (Number(whole) * unitNs > Number(LIMIT_NS)) return undefined
    sumNs += BigInt(whole) * BigInt(unitNs) + BigInt(fractionNs(fraction, unitNs))
    if (sumNs > LIMIT_NS) return undefined
  }
  // There is one nanosecond more below zero.
  if (sign !== '-' && sumNs === LIMIT_NS) return undefined
  const ms = Number(sumNs) / NS_PER_MS
  return sign === '-' && ms !== 0 ? -ms : ms
}

/** In floating point, as Go does it: a third of an hour with 19 digits is 20 minutes, and not a nanosecond less. */
function fractionNs(digits: string, unitNs: number): number {
  let value = 0n
  let scale = 1
  for (const digit of digits) {
    const next = value * 10n + BigInt(digit)
    // What does not fit into 64 bits is too fine to count.
    if (next > LIMIT_NS) break
    value = next
    scale *= 10
  }
  return Math.trunc(Number(value) * (unitNs / scale))
}

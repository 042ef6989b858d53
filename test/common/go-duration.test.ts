import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseGoDuration } from '../../common/go-duration.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000

describe('the durations of Go', () => {
  test.each([
    ['0', 0],
    ['+0', 0],
    ['-0', 0],
    ['0s', 0],
    ['-0s', 0],
    ['12h', 12 * HOUR_MS],
    ['6h0m0s', 6 * HOUR_MS],
    ['1h30m', 90 * MINUTE_MS],
    ['1h2m3.5s', HOUR_MS + 2 * MINUTE_MS + 3_500],
    ['+10s', 10_000],
    ['-1m30s', -90_000],
    ['1.5s', 1_500],
    ['1.s', 1_000],
    ['.5s', 500],
    ['250ms', 250],
    ['1us', 0.001],
    ['7\u00B5s', 0.007],
    ['7\u03BCs', 0.007],
    ['3ns', 0.000_003],
    // In any order, and more than once.
    ['1s1h1s', HOUR_MS + 2_000],
    ['0000000000000000000000012s', 12_000],
    // Finer than a nanosecond, and finer than 64 bits.
    ['1.9ns', 0.000_001],
    ['0.3333333333333333333h', 20 * MINUTE_MS],
    ['0.100000000000000000000h', 6 * MINUTE_MS],
  ])('%j is %d ms', (text, ms) => {
    expect(parseGoDuration(text)).toBe(ms)
  })

  test.each([
    ['the longest', '9223372036854775807ns', (2 ** 63 - 1) / 1e6],
    ['the longest in hours', '2562047h47m16.854775807s', (2 ** 63 - 1) / 1e6],
    ['one nanosecond longer', '9223372036854775808ns', undefined],
    ['one nanosecond longer, in hours', '2562047h47m16.854775808s', undefined],
    ['longer by the last of its parts', '2562047h47m16.8s0.1s', undefined],
    ['the longest before zero', '-9223372036854775808ns', -(2 ** 63) / 1e6],
    ['one nanosecond longer before zero', '-9223372036854775809ns', undefined],
    ['300 years', '2629800h', undefined],
    ['a megabyte of digits', `${'9'.repeat(1_000_000)}h`, undefined],
    ['a megabyte of digits without a unit', '9'.repeat(1_000_000), undefined],
  ])('%s', (_, text, ms) => {
    expect(parseGoDuration(text)).toBe(ms)
  })

  test.each([
    ...['', '+', '-', '5', '00', '0.0', '-5', 's', '.s', '-.s', '+s', '.', '1d', '1S'],
    ...['1h 30m', ' 1s', '1s ', '1s\n', '1..5s', '1.5.5s', '1h-30m', '1h+30m', '--1s', '+-1s'],
    ...['Infinity', 'NaNs', '1e3s', '1_000s', '0x1s', '\u0661s', '1,5s', '1hs', '3000\u00B5'],
  ])('%j is none', (text) => {
    expect(parseGoDuration(text)).toBe(undefined)
  })
})

const UNITS_NS = { h: 3_600_000_000_000n, m: 60_000_000_000n, s: 1_000_000_000n, ms: 1_000_000n }
const FINE_UNITS_NS = { us: 1_000n, '\u00B5s': 1_000n, '\u03BCs': 1_000n, ns: 1n }
const units = Object.entries({ ...UNITS_NS, ...FINE_UNITS_NS })
const part = fc.tuple(fc.bigInt({ min: 0n, max: 2n ** 40n }), fc.constantFrom(...units))

test('any sum of whole numbers of units is what they come to, or too long', () => {
  const sign = fc.constantFrom('', '+', '-')
  fc.assert(
    fc.property(sign, fc.array(part, { minLength: 1, maxLength: 5 }), (signText, parts) => {
      const text = signText + parts.map(([count, [unit]]) => `${count}${unit}`).join('')
      const sumNs = parts.reduce((sum, [count, [, ns]]) => sum + count * ns, 0n)
      const isLonger = sumNs >= 2n ** 63n + (signText === '-' ? 1n : 0n)
      const ms = (Number(sumNs) / 1e6) * (signText === '-' && sumNs > 0n ? -1 : 1)
      expect(parseGoDuration(text)).toBe(isLonger ? undefined : ms)
    }),
  )
})

test('any text is a finite number of milliseconds or none', () => {
  const texts = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[-+]?(?:[\d.]{0,20}[numhs\u00B5]{0,2})*$/),
  )
  fc.assert(
    fc.property(texts, (text) => {
      const ms = parseGoDuration(text)
      expect(ms === undefined || Number.isFinite(ms)).toBe(true)
    }),
  )
})

import { expect, test } from 'vitest'
import { parseGoDuration } from '../../../driver/credentials/go-duration.ts'

test.each([
  ['0', 0],
  ['0s', 0],
  ['12h', 43_200_000],
  ['6h0m0s', 21_600_000],
  ['1h30m', 5_400_000],
  ['1.5s', 1_500],
  ['.5s', 500],
  ['+10s', 10_000],
  ['250ms', 250],
  ['1us', 0.001],
])('%s is %d ms', (text, ms) => {
  expect(parseGoDuration(text)).toBe(ms)
})

test.each(['', '5', '-1s', 's', '1d', '1h 30m', '1..5s', '.s', '1h-30m', 'Infinity'])(
  '%j is no duration',
  (text) => {
    expect(parseGoDuration(text)).toBe(undefined)
  },
)

import { expect, test } from 'vitest'
import { timeoutMsOf } from '../../webhook/request-head.ts'

test.each<[string, number]>([
  ['/mutate?timeout=5s', 5_000],
  ['/mutate?a=b&timeout=30s', 30_000],
  ['/mutate?timeout=1m30s', 90_000],
  ['/mutate?timeout=1.5s', 1_500],
  ['/mutate?timeout=250ms&b', 250],
  ['/mutate?timeout=1h', 3_600_000],
  ['/mutate?timeout=0s', Number.POSITIVE_INFINITY],
  ['/mutate?timeout=-5s', Number.POSITIVE_INFINITY],
  ['/mutate', Number.POSITIVE_INFINITY],
  ['/mutate?timeout=', Number.POSITIVE_INFINITY],
  ['/mutate?timeout=5', Number.POSITIVE_INFINITY],
  ['/mutate?timeout=5s%20', Number.POSITIVE_INFINITY],
  ['/mutate?notimeout=5s', Number.POSITIVE_INFINITY],
])('reads the deadline of %s', (url, ms) => {
  expect(timeoutMsOf(url)).toBe(ms)
})

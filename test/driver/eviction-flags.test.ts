import { expect, test } from 'vitest'
import { parseFlags } from '../../common/flags.ts'
import { EVICTION_FLAGS, marksOf } from '../../driver/eviction-flags.ts'

function marks(...argv: string[]) {
  const parsed = parseFlags({ usage: 'test', flags: EVICTION_FLAGS, argv, env: {} })
  if (parsed.help) throw new Error('help was asked for')
  return marksOf(parsed.values)
}

test('eviction begins below the kubelet, which evicts images from 85 % of its disk and pods before it is full', () => {
  expect(marks()).toEqual({
    ...{ high: 0.8, low: 0.75, keepBytes: 1024 ** 3, minAgeMs: 300_000 },
  })
})

test('an admin says otherwise', () => {
  expect(
    marks(
      ...['--eviction-high-mark=90', '--eviction-low-mark', '50', '--max-store-bytes=20Gi'],
      ...['--keep-bytes=0', '--eviction-min-age=1h', '--eviction-interval=5m'],
    ),
  ).toEqual({
    ...{ high: 0.9, low: 0.5, maxBytes: 20 * 1024 ** 3, keepBytes: 0, minAgeMs: 3_600_000 },
  })
})

test.for<[string[], string]>([
  [
    ['--eviction-high-mark=70'],
    'Invalid --eviction-low-mark 75: expected less than --eviction-high-mark, which is 70',
  ],
  [
    ['--eviction-high-mark=101'],
    'Invalid --eviction-high-mark "101": expected a whole number from 1 to 100',
  ],
  [['--eviction-interval=1ms'], 'Invalid --eviction-interval "1ms": expected 100ms to 500h'],
])('%j is refused', ([argv, message]) => {
  expect(() => marks(...argv)).toThrow(expect.objectContaining({ code: 'INVALID', message }))
})

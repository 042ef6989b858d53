import fc from 'fast-check'
import { expect, test } from 'vitest'
import { shownText } from '../../../common/shown-text.ts'
import { formatDuration } from '../../../driver/events/duration-text.ts'
import { cutMessage } from '../../../driver/events/pod-event.ts'
import { fullBucket, takeToken } from '../../../driver/events/token-bucket.ts'

test('a message that is cut has at most the bytes, is whole characters of the original and says so', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.integer({ min: 3, max: 40 }),
      (text, max) => {
        const shown = shownText(text)
        const cut = cutMessage(text, max)
        if (cut === shown) return Buffer.byteLength(text) <= max
        return (
          Buffer.byteLength(cut) <= max && cut.endsWith('...') && shown.startsWith(cut.slice(0, -3))
        )
      },
    ),
  )
})

test('the attack: a name in an image that turns around what a pod is told, or moves the cursor, is shown as it is', () => {
  const message = cutMessage('Denied "\u202Egnp.exe\u009B2J": \n')
  expect(message).toBe('Denied "\\u{202E}gnp.exe\\u{9B}2J": \\u{A}')
  // A denial is cut twice.
  expect(cutMessage(message)).toBe(message)
})

test.each([
  [40, '0.0 s'],
  [1_340, '1.3 s'],
  [92_000, '92 s'],
  [725_000, '12 min 5 s'],
])('%d ms are %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text)
})

test('a bucket gives its burst, and then no more than is refilled, whenever it is asked', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10 }),
      fc.array(fc.integer({ min: 0, max: 3_000 }), { maxLength: 100 }),
      (burst, gaps) => {
        const rate = { burst, perSecond: 2 }
        let bucket = fullBucket(rate, 0)
        let atMs = 0
        let taken = 0
        for (const gap of gaps) {
          atMs += gap
          const next = takeToken(bucket, rate, atMs)
          if (next === undefined) continue
          bucket = next
          taken += 1
        }
        expect(taken).toBeLessThanOrEqual(burst + (atMs / 1_000) * 2 + 1e-6)
        expect(taken).toBeGreaterThanOrEqual(Math.min(burst, gaps.length))
      },
    ),
  )
})

import { expect, test } from 'vitest'
import { CodedError, messageOf } from '../../../../common/errors.ts'
import { createRefusals } from '../../../../driver/pull/manifest/refusals.ts'

const APP = 'r.example/acme/app:v1'
const DENIED = new CodedError('DENIED', 'Cannot pull it: registry answered 403')

function timedRefusals(memoryMs = 10_000) {
  let now = 1_000_000
  const refusals = createRefusals({ memoryMs, now: () => now })
  return {
    ...refusals,
    pass: (ms: number) => {
      now += ms
    },
    /** What a caller would be told without a request; undefined: he may ask. */
    told: (reference: string, ...who: string[]) => {
      try {
        refusals.check(reference, who)
        return undefined
      } catch (error) {
        return messageOf(error)
      }
    },
  }
}

test('a refusal is told again without asking, with how long it is remembered', () => {
  const refusals = timedRefusals()
  refusals.note(APP, ['bob', 'anyone'], DENIED)
  refusals.pass(3_500)
  expect(refusals.told(APP, 'bob', 'anyone')).toBe(
    'Cannot pull it: registry answered 403; remembered, the registry is asked again in 7 s',
  )
  refusals.pass(6_500)
  expect(refusals.told(APP, 'bob', 'anyone')).toBeUndefined()
})

test('it is for that caller and that reference alone', () => {
  const refusals = timedRefusals()
  refusals.note(APP, ['bob', 'anyone'], DENIED)
  expect(refusals.told(APP, 'alice', 'anyone')).toBeUndefined()
  expect(refusals.told(APP, 'anyone')).toBeUndefined()
  expect(refusals.told('r.example/acme/app:v2', 'bob', 'anyone')).toBeUndefined()
})

test('what is sent to one caller is there: all ask again', () => {
  const refusals = timedRefusals()
  refusals.note(APP, ['bob'], new CodedError('NOT_FOUND', 'no such tag'))
  refusals.clear(APP)
  expect(refusals.told(APP, 'bob')).toBeUndefined()
})

test.for(['UNAVAILABLE', 'CORRUPT', 'EXHAUSTED', 'INVALID', 'INTERNAL'] as const)(
  '%s is no refusal',
  (code) => {
    const refusals = timedRefusals()
    refusals.note(APP, ['bob'], new CodedError(code, 'no'))
    expect(refusals.told(APP, 'bob')).toBeUndefined()
  },
)

test('a clock that is set back does not make it last', () => {
  const refusals = timedRefusals()
  refusals.note(APP, ['bob'], DENIED)
  refusals.pass(-3_600_000)
  expect(refusals.told(APP, 'bob')).toBeUndefined()
})

test('a thousand references with a hundred callers each are remembered, and no more', () => {
  const refusals = timedRefusals()
  for (let index = 0; index <= 1_000; index += 1) refusals.note(`${APP}${index}`, ['bob'], DENIED)
  expect(refusals.told(`${APP}0`, 'bob')).toBeUndefined()
  expect(refusals.told(`${APP}1`, 'bob')).toBeDefined()
  for (let index = 0; index <= 100; index += 1) refusals.note(APP, [`bob${index}`], DENIED)
  expect(refusals.told(APP, 'bob0')).toBeUndefined()
  expect(refusals.told(APP, 'bob1')).toBeDefined()
})

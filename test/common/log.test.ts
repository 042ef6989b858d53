import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { CodedError } from '../../common/errors.ts'
import { createLogger } from '../../common/log.ts'

function logged(write: (log: ReturnType<typeof createLogger>) => void): Record<string, unknown> {
  const destination = new PassThrough()
  write(createLogger({ name: 'x', level: 'info', destination }))
  return JSON.parse(String(destination.read()))
}

test('a line has its level as a word, the time, the name and the message', () => {
  expect(logged((log) => log.info({ node: 'n1' }, 'serving'))).toEqual({
    level: 'info',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    name: 'x',
    node: 'n1',
    msg: 'serving',
  })
})

test('an error is its code and message with its causes, and a stack only for a bug', () => {
  const error = new CodedError('CORRUPT', 'bad blob', { cause: new CodedError('INVALID', 'why') })
  expect(logged((log) => log.error({ error }, 'failed'))['error']).toEqual({
    code: 'CORRUPT',
    message: 'bad blob',
    cause: { code: 'INVALID', message: 'why' },
  })
  const bug = new CodedError('INTERNAL', 'bug')
  expect(logged((log) => log.error({ error: bug }, 'failed'))['error']).toEqual({
    code: 'INTERNAL',
    message: 'bug',
    stack: expect.stringContaining('log.test.ts'),
  })
})

test('values under the names of secrets are not written', () => {
  const line = logged((log) =>
    log.info({ secrets: { a: 'S1' }, request: { authorization: 'S2', token: 'S3' } }, 'x'),
  )
  expect(JSON.stringify(line)).not.toMatch(/S[123]/)
})

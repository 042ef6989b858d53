import { describe, expect, test } from 'vitest'
import { CodedError, isCodedError, isSystemError, toCodedError } from '../../common/errors.ts'

function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: something`), { code, errno: -1, syscall: 'write' })
}

describe('isCodedError', () => {
  test('answers by code, and for any code when none is given', () => {
    const error = new CodedError('NOT_FOUND', 'No such thing')
    expect([
      isCodedError(error),
      isCodedError(error, 'NOT_FOUND'),
      isCodedError(error, 'INVALID', 'NOT_FOUND'),
      isCodedError(error, 'INVALID'),
      isCodedError(new Error('x')),
      isCodedError({ code: 'NOT_FOUND' }, 'NOT_FOUND'),
    ]).toStrictEqual([true, true, true, false, false, false])
  })
})

describe('isSystemError', () => {
  test('tells errors of the system from others that have a code', () => {
    expect([
      isSystemError(systemError('ENOENT')),
      isSystemError(systemError('ENOENT'), 'ENOENT'),
      isSystemError(systemError('ENOENT'), 'EACCES'),
      isSystemError(new CodedError('INVALID', 'x')),
      isSystemError('ENOENT', 'ENOENT'),
    ]).toStrictEqual([true, true, false, false, false])
  })
})

describe('toCodedError', () => {
  test('keeps a coded error as it is', () => {
    const error = new CodedError('DENIED', 'No')
    expect(toCodedError(error)).toBe(error)
  })

  test.each(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE'])('takes %s for EXHAUSTED', (code) => {
    const cause = systemError(code)
    const error = toCodedError(cause)
    expect(error).toMatchObject({ code: 'EXHAUSTED', message: `${code}: something` })
    expect(error.cause).toBe(cause)
  })

  test.each([new TypeError('x is not a function'), 'a string', undefined, systemError('EIO')])(
    'hides what nobody foresaw: %s',
    (cause) => {
      const error = toCodedError(cause)
      expect(error).toMatchObject({
        code: 'INTERNAL',
        message: 'Internal error: the log has the detail',
      })
      expect(error.cause).toBe(cause)
    },
  )
})

import { CodedError } from '../../common/errors.ts'

/** Runs `call` and gives what it threw as `CODE message`; fails when it threw nothing, or something else than a CodedError. */
export function thrownBy(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    if (error instanceof CodedError) return `${error.code} ${error.message}`
    throw error
  }
  throw new Error('Expected an error, nothing was thrown')
}

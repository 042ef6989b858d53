import { CodedError } from '../../common/errors.ts'
import { formatReference, type Reference } from '../../common/oci/reference.ts'

/** Puts a reference in front of what is wrong with its content: `Cannot use "ghcr.io/acme/app:v1": the manifest ...`. */
export function aboutReference(name: string, error: CodedError): CodedError {
  const detail = error.message.charAt(0).toLowerCase() + error.message.slice(1)
  return new CodedError(error.code, `Cannot use "${name}": ${detail}`, { cause: error })
}

/** Does some work on what a reference names, and puts the reference in front of what it finds wrong. */
export async function namingReference<T>(
  reference: Reference,
  work: () => T | Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    throw aboutReference(formatReference(reference), error)
  }
}

import { CodedError } from '../../common/errors.ts'

/** Puts a reference in front of what is wrong with its content: `Cannot use "ghcr.io/acme/app:v1": the manifest ...`. */
export function aboutReference(name: string, error: CodedError): CodedError {
  const detail = error.message.charAt(0).toLowerCase() + error.message.slice(1)
  return new CodedError(error.code, `Cannot use "${name}": ${detail}`, { cause: error })
}

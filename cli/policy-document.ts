import { text } from '../common/flags.ts'
import { type LoadedPolicy, loadPolicy, readPolicy } from '../common/policy/policy-file.ts'
import type { Io } from './command.ts'

/** The flag that names a policy. */
export const POLICY_FILE_FLAG = {
  file: { value: 'FILE', short: 'f', doc: 'the policy; "-" reads standard input', parse: text },
} as const

/** @throws NOT_FOUND, INVALID naming the file, the line and what was expected */
export async function readPolicyDocument(path: string, io: Io): Promise<LoadedPolicy> {
  if (path !== '-') return loadPolicy(path)
  return readPolicy('stdin', new TextEncoder().encode(await io.readStdin()))
}

import { bool } from '../common/flags.ts'
import { createCommand } from './command.ts'
import { POLICY_FILE_FLAG, readPolicyDocument } from './policy-document.ts'
import { counted } from './text-table.ts'

/** Reads a policy as driver and webhook do. Exit code 2 when they would refuse it, with what is wrong where. */
export const policyCheck = createCommand({
  summary: 'read a policy file, and say what is wrong where',
  usage: 'oras-csi policy check -f FILE [FLAGS]',
  flags: { ...POLICY_FILE_FLAG, json: { doc: 'as JSON', parse: bool } },
  async run({ file, json }, _, io) {
    const { policy, sha256 } = await readPolicyDocument(file, io)
    io.stdout(
      json
        ? `${JSON.stringify({ sha256, ...policy }, undefined, 2)}\n`
        : `${counted(policy.rules.length, 'rule')}, default ${policy.default}, sha256 ${sha256}\n`,
    )
    return 0
  },
})

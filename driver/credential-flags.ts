import { CodedError } from '../common/errors.ts'
import { type FlagTable, type FlagValues, text } from '../common/flags.ts'
import type { NodeCredentialConfig } from './credentials/node-keyring.ts'

/** The flags about what the driver pulls with when a volume's own secret does not do. */
export const CREDENTIAL_FLAGS = {
  'docker-config': {
    value: 'FILE',
    doc: 'a docker config.json whose credentials every pod may pull with, after those of its own secret; read again when it changes',
    default: '',
    parse: text,
  },
  'credential-provider-config': {
    value: 'FILE-OR-DIRECTORY',
    doc: "the kubelet's CredentialProviderConfig: programs that know credentials, which every pod may pull with",
    default: '',
    parse: text,
  },
  'credential-provider-bin-dir': {
    value: 'DIRECTORY',
    doc: 'where the programs of --credential-provider-config are',
    default: '',
    parse: text,
  },
} as const satisfies FlagTable

/** @throws INVALID when only one of two flags is given that need each other */
export function nodeCredentialsOf(
  values: FlagValues<typeof CREDENTIAL_FLAGS>,
): NodeCredentialConfig {
  const configFile = values['credential-provider-config']
  const binDirectory = values['credential-provider-bin-dir']
  const dockerConfig = values['docker-config']
  if ((configFile === '') !== (binDirectory === '')) {
    throw new CodedError(
      'INVALID',
      '--credential-provider-config and --credential-provider-bin-dir need each other; expected both or none',
    )
  }
  return {
    ...(dockerConfig !== '' && { dockerConfig }),
    ...(configFile !== '' && { providers: { configFile, binDirectory } }),
  }
}

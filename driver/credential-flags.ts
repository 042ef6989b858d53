import { CodedError } from '../common/errors.ts'
import { type FlagTable, type FlagValues, text } from '../common/flags.ts'
import type { NodeCredentialConfig } from './credentials/node-keyring.ts'
import type { ProviderFiles } from './credentials/read-providers.ts'

/** The flags about programs that know credentials. */
export const PROVIDER_FLAGS = {
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

/** The flags about what the driver pulls with when a volume's own secret does not do. */
export const CREDENTIAL_FLAGS = {
  'docker-config': {
    value: 'FILE',
    doc: 'a docker config.json whose credentials every pod may pull with, after those of its own secret; read again when it changes',
    default: '',
    parse: text,
  },
  ...PROVIDER_FLAGS,
} as const satisfies FlagTable

/**
 * Puts together where the programs are; undefined when none are wanted.
 *
 * @throws INVALID when only one of two flags is given that need each other
 */
export function providersOf(values: FlagValues<typeof PROVIDER_FLAGS>): ProviderFiles | undefined {
  const configFile = values['credential-provider-config']
  const binDirectory = values['credential-provider-bin-dir']
  if ((configFile === '') !== (binDirectory === '')) {
    throw new CodedError(
      'INVALID',
      '--credential-provider-config and --credential-provider-bin-dir need each other; expected both or none',
    )
  }
  return configFile === '' ? undefined : { configFile, binDirectory }
}

/** Puts together what the node pulls with. @throws as {@link providersOf} */
export function nodeCredentialsOf(
  values: FlagValues<typeof CREDENTIAL_FLAGS>,
): NodeCredentialConfig {
  const dockerConfig = values['docker-config']
  const providers = providersOf(values)
  return {
    ...(dockerConfig !== '' && { dockerConfig }),
    ...(providers && { providers }),
  }
}

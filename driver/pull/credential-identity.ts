import { createHmac } from 'node:crypto'
import type { Credential, Keyring } from '../../common/oci/credentials.ts'
import type { Reference } from '../../common/oci/reference.ts'
import { ANYONE, type CredentialIdentity } from '../store/access.ts'

/**
 * Names the holder of a credential for the access records, without telling the credential.
 *
 * @param salt the store's
 */
export function credentialIdentity(
  salt: string,
  registry: string,
  credential: Credential | undefined,
): CredentialIdentity {
  if (credential === undefined) return ANYONE
  const parts =
    credential.kind === 'basic'
      ? [credential.kind, credential.username, credential.password]
      : [credential.kind, credential.token]
  return createHmac('sha256', salt)
    .update(JSON.stringify([registry, ...parts]))
    .digest('hex')
}

/** The identities under which a keyring may have been recorded for this reference, best first; anyone's at last. */
export function keyringIdentities(
  salt: string,
  keyring: Keyring,
  reference: Reference,
): readonly CredentialIdentity[] {
  return [
    ...keyring
      .lookup(reference.registry, reference.repository)
      .map(({ credential }) => credentialIdentity(salt, reference.registry, credential)),
    ANYONE,
  ]
}

import { createHmac } from 'node:crypto'
import type { Credential, Keyring } from '../../common/oci/credentials.ts'
import type { Reference } from '../../common/oci/reference.ts'
import { ANYONE, type CredentialIdentity } from '../store/access.ts'

/**
 * Names the holder of a credential for the access records, without telling the credential.
 *
 * It is made of host, user and the secret itself, so that another secret is another holder. For a credential that rotates (a
 * cloud's password of some hours, {@link Credential.holder}) it is made of host, user and the namespace of its secret instead: records
 * survive the rotation. The kubelet does not tell a CSI driver the secret's name, and it would add nothing: whoever may run pods in a
 * namespace may use all of its secrets.
 *
 * What was had without the caller's credentials, anonymously or with the node's own, is {@link ANYONE}'s: by the admin's configuration
 * every pod of this node can have it.
 *
 * @param salt the store's
 * @param registry the host of the reference
 * @param credential what the source says it accepted; undefined for anyone
 */
export function credentialIdentity(
  salt: string,
  registry: string,
  credential: Credential | undefined,
): CredentialIdentity {
  if (credential === undefined) return ANYONE
  return createHmac('sha256', salt)
    .update(JSON.stringify([registry, ...identifyingParts(credential)]))
    .digest('hex')
}

/** Every list of parts begins with a kind of its own: no password can make one look like another. */
function identifyingParts(credential: Credential): readonly string[] {
  const { kind, holder } = credential
  if (holder !== undefined) return ['rotating', holder.namespace, holder.username]
  return kind === 'basic'
    ? [kind, credential.username, credential.password]
    : [kind, credential.token]
}

/**
 * The identities under which a caller may have been recorded for this reference, best first; anyone's at last, since the node's own
 * credentials are his too. Nothing is asked and no program runs for it.
 */
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

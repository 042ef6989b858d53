/** A user and secret for a registry, or a token. Never logged, never part of a message. */
export type Credential =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token, exchanged at the registry's token endpoint. */
  | { readonly kind: 'identity-token'; readonly token: string }
  /** Sent to the registry as it is. */
  | { readonly kind: 'registry-token'; readonly token: string }

/** One credential and what to call it in a message, e.g. `secret of the volume`. */
export interface LabelledCredential {
  readonly label: string
  readonly credential: Credential
}

/** Credentials by registry and repository. */
export interface Keyring {
  /** The credentials to try, best first: the longest matching entry of each kind. Empty means anonymous. */
  lookup(registry: string, repository: string): readonly LabelledCredential[]
}

/** Knows no credential. */
export const ANONYMOUS: Keyring = { lookup: () => [] }

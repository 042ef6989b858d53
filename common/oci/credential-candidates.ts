import type { Credential, Keyring } from './credentials.ts'

/**
 * The credentials of the node itself: whoever runs a pod on it may use them, so that what they open counts as readable by anyone.
 *
 * They are looked for one after the other, each only when the registry refused what came before: a program may have to run for it.
 */
export interface NodeKeyring {
  /**
   * Finds the credentials to try, best first. One that could not be had has a label that says so, without a value, and no credential.
   *
   * @param registry the host that is contacted
   * @param signal ends the waiting
   * @throws RequestFailure UNAVAILABLE when too many wait for a program already
   * @throws the signal's reason
   */
  lookup(registry: string, repository: string, signal: AbortSignal): AsyncIterable<NodeCredential>
}

/** A credential of the node and what to call it in a message, e.g. `credential provider "ecr"`. */
export interface NodeCredential {
  readonly label: string
  readonly credential: Credential | undefined
}

/** Knows no credential. */
export const NO_NODE_KEYRING: NodeKeyring = { lookup: async function* () {} }

/** One way to ask a registry. */
export interface Candidate {
  readonly label: string
  /** Undefined for anonymous access. */
  readonly credential: Credential | undefined
  /** Whose access an answer proves: the caller's with this credential, or anyone's. */
  readonly proves: 'caller' | 'anyone'
}

/** Who asks which host for which repository. */
export interface CandidateRequest {
  readonly keyring: Keyring
  readonly nodeKeyring: NodeKeyring
  /** The host that is contacted. */
  readonly registry: string
  readonly repository: string
  readonly signal: AbortSignal
}

/**
 * Lists the ways to ask: with each of the caller's credentials, with each of the node's, and at last without any. What lies
 * behind a candidate is looked for when it is reached.
 *
 * @param tried takes the label of each way that was reached, those without a credential too
 * @throws as {@link NodeKeyring.lookup}
 */
export async function* listCandidates(
  { keyring, nodeKeyring, registry, repository, signal }: CandidateRequest,
  tried: Set<string>,
): AsyncGenerator<Candidate, void, undefined> {
  for (const { label, credential } of keyring.lookup(registry, repository)) {
    tried.add(label)
    yield { label, credential, proves: 'caller' }
  }
  for await (const { label, credential } of nodeKeyring.lookup(registry, repository, signal)) {
    tried.add(label)
    if (credential !== undefined) yield { label, credential, proves: 'anyone' }
  }
  tried.add(ANONYMOUS_ACCESS)
  yield { label: ANONYMOUS_ACCESS, credential: undefined, proves: 'anyone' }
}

const ANONYMOUS_ACCESS = 'anonymous access'

import { type Challenge, parseChallenge } from './challenge.ts'
import type { Credential } from './credentials.ts'
import type { Endpoint, RegistryHost } from './hosts.ts'
import { basicHeader } from './token.ts'
import type { TokenCache } from './token-cache.ts'

/** Who asks whom for what. */
export interface Caller {
  readonly endpoint: Endpoint & Pick<RegistryHost, 'namespace'>
  readonly repository: string
  /** Undefined for anonymous access. */
  readonly credential: Credential | undefined
  readonly signal: AbortSignal
}

/** A value for `Authorization`, and whether it may have grown old. */
export interface Authorization {
  readonly header: string
  readonly fresh: boolean
}

/** Knows how each registry wants to be answered, and answers with the credential of the caller only. */
export interface Authorizer {
  /**
   * Makes the header for a caller; undefined while the registry has not asked, or when this credential is no answer to
   * what it asks.
   *
   * @param rejected the header that the registry just refused
   * @throws RequestFailure; `refused` when the token service does not take the credential
   */
  authorize(caller: Caller, rejected?: string): Promise<Authorization | undefined>
  /** Takes in what the registry itself asked with a 401; answers whether that is new. */
  learn(caller: Caller, wwwAuthenticate: string | undefined): boolean
}

/** Repositories come from references, so they are many. */
const MAX_CHALLENGES = 2000

export function createAuthorizer(tokens: TokenCache): Authorizer {
  const challenges = new Map<string, Challenge>()
  const keyOf = ({ endpoint, repository }: Caller) =>
    `${endpoint.base}/${repository} ${endpoint.namespace ?? ''}`
  return {
    async authorize(caller, rejected) {
      const challenge = challenges.get(keyOf(caller))
      if (challenge === undefined) return undefined
      const { endpoint, repository, credential, signal } = caller
      if (credential?.kind === 'registry-token') {
        return { header: `Bearer ${credential.token}`, fresh: true }
      }
      if (challenge.scheme === 'basic') {
        // Anonymous access has no answer to Basic, and an identity token is for a token service.
        if (credential?.kind !== 'basic') return undefined
        return { header: basicHeader(credential), fresh: true }
      }
      const scope = challenge.scope ?? `repository:${repository}:pull`
      const request = { endpoint, challenge, scope, credential, signal }
      const { value, fresh } = await tokens.get(request, rejected?.replace(/^Bearer /, ''))
      return { header: `Bearer ${value}`, fresh }
    },
    learn(caller, wwwAuthenticate) {
      const challenge = parseChallenge(wwwAuthenticate)
      if (challenge === undefined) return false
      const key = keyOf(caller)
      const known = challenges.get(key)
      if (challenges.size >= MAX_CHALLENGES) challenges.clear()
      challenges.set(key, challenge)
      return JSON.stringify(known) !== JSON.stringify(challenge)
    },
  }
}

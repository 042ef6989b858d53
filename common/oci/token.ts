import { isCodedError } from '../errors.ts'
import { asObject, asSize, asString, optionalField, parseJson } from '../json.ts'
import { readBody } from './body.ts'
import type { Challenge } from './challenge.ts'
import type { Credential } from './credentials.ts'
import type { Endpoint } from './hosts.ts'
import { type Exchange, follow, routeTowards } from './redirect.ts'
import {
  formatStatus,
  meaningOfStatus,
  parseRetryAfter,
  RequestFailure,
} from './request-failure.ts'
import type { Transport } from './transport.ts'

/** A token and until when to use it, in milliseconds of `now`. */
export interface Token {
  readonly value: string
  readonly freshUntilMs: number
}

/** A Bearer challenge, who gave it, for what, and who answers it. */
export interface TokenRequest {
  readonly endpoint: Endpoint
  readonly challenge: Extract<Challenge, { scheme: 'bearer' }>
  readonly scope: string
  /** Undefined asks for an anonymous token. */
  readonly credential: Exclude<Credential, { kind: 'registry-token' }> | undefined
  readonly signal: AbortSignal
}

const MAX_TOKEN_BYTES = 128 * 1024
/** What the token specification says where `expires_in` is absent. */
const DEFAULT_LIFETIME_S = 60
/** Tokens are replaced this long before they expire, or a quarter of a short life: a request takes its time. */
const MARGIN_MS = 30_000

/**
 * Asks a token service: by GET, with Basic for a user; by POST for an identity token.
 *
 * @throws RequestFailure; `refused` when the service does not take the credential
 * @throws the signal's reason
 * @see https://distribution.github.io/distribution/spec/auth/token/
 * @see https://distribution.github.io/distribution/spec/auth/oauth/
 */
export async function requestToken(
  transport: Transport,
  request: TokenRequest,
  { clientId, nowMs }: { readonly clientId: string; readonly nowMs: () => number },
): Promise<Token> {
  const { endpoint, challenge, signal } = request
  const realm = new URL(challenge.realm)
  if (endpoint.base.startsWith('https:') && realm.protocol === 'http:') {
    throw new RequestFailure(
      'DENIED',
      `registry sends credentials to a token service over plain HTTP at ${JSON.stringify(realm.host)}`,
    )
  }
  const askedAtMs = nowMs()
  const exchange =
    request.credential?.kind === 'identity-token'
      ? await postRefresh(transport, request, realm, request.credential.token, clientId)
      : await getToken(transport, request, realm, clientId)
  const { answer } = exchange
  const service = `token service ${JSON.stringify(exchange.target.url.host)}`
  const limits = {
    url: exchange.target.url,
    maxBytes: MAX_TOKEN_BYTES,
    name: `answer of ${service}`,
    idleTimeoutMs: transport.idleTimeoutMs,
    signal,
  }
  if (answer.status !== 200) {
    await answer.body.dump({ limit: MAX_TOKEN_BYTES, signal }).catch(() => {})
    const { code, transient } = meaningOfStatus(answer.status)
    // An identity token that was revoked is "400 invalid_grant" (RFC 6749 section 5.2).
    const refused = [400, 401, 403].includes(answer.status)
    throw new RequestFailure(
      refused && code === 'INVALID'
        ? 'UNAUTHENTICATED'
        : code === 'NOT_FOUND'
          ? 'UNAVAILABLE'
          : code,
      `${service} answered ${formatStatus(answer.status)}`,
      {
        transient,
        refused,
        retryAfterMs: parseRetryAfter(answer.header('retry-after'), Date.now()),
      },
    )
  }
  const bytes = await readBody(answer, limits)
  try {
    return readToken(bytes, service, askedAtMs)
  } catch (error) {
    if (!isCodedError(error)) throw error
    throw new RequestFailure('UNAVAILABLE', `${service} answered with no token: ${error.message}`, {
      cause: error,
    })
  }
}

async function getToken(
  transport: Transport,
  { endpoint, challenge, scope, credential, signal }: TokenRequest,
  realm: URL,
  clientId: string,
): Promise<Exchange> {
  const url = new URL(realm)
  if (challenge.service !== undefined) url.searchParams.set('service', challenge.service)
  url.searchParams.set('scope', scope)
  if (credential?.kind === 'basic') url.searchParams.set('account', credential.username)
  const headers = {
    'user-agent': clientId,
    accept: 'application/json',
    ...(credential?.kind === 'basic' && { authorization: basicHeader(credential) }),
  }
  return follow(transport, endpoint, { method: 'GET', url, headers, signal })
}

async function postRefresh(
  transport: Transport,
  { endpoint, challenge, scope, signal }: TokenRequest,
  realm: URL,
  refreshToken: string,
  clientId: string,
): Promise<Exchange> {
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    refresh_token: refreshToken,
    client_id: clientId,
    scope,
    ...(challenge.service !== undefined && { service: challenge.service }),
  })
  const headers = {
    'user-agent': clientId,
    accept: 'application/json',
    'content-type': 'application/x-www-form-urlencoded',
  }
  const own = realm.origin === new URL(endpoint.base).origin ? endpoint.headers : {}
  const target = {
    url: realm,
    headers: { ...own, ...headers },
    ...routeTowards(endpoint, realm, transport),
  }
  const body = form.toString()
  const answer = await transport.send({ method: 'POST', ...target, body, signal })
  return { target, answer, foreign: false }
}

/** `Basic` and base64 of `user:password`. */
export function basicHeader({
  username,
  password,
}: Extract<Credential, { kind: 'basic' }>): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function readToken(bytes: Uint8Array, service: string, askedAtMs: number): Token {
  const document = asObject(
    parseJson(bytes, {
      name: 'token',
      code: 'UNAVAILABLE',
      maxBytes: MAX_TOKEN_BYTES,
      secret: true,
    }),
  )
  const field = optionalField(document, 'token') ?? optionalField(document, 'access_token')
  const value = field === undefined ? '' : asString(field)
  // What a header can carry; a line break would add one.
  if (!/^[\x21-\x7e]+$/.test(value)) {
    throw new RequestFailure('UNAVAILABLE', `${service} answered without a token`)
  }
  const lifetime = optionalField(document, 'expires_in')
  const lifetimeMs = 1000 * ((lifetime && asSize(lifetime)) || DEFAULT_LIFETIME_S)
  return { value, freshUntilMs: askedAtMs + lifetimeMs - Math.min(MARGIN_MS, lifetimeMs / 4) }
}

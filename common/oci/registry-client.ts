import { CodedError } from '../errors.ts'
import type { CallOptions } from './artifact-source.ts'
import type { Authorizer } from './authorization.ts'
import type { Credential } from './credentials.ts'
import type { Endpoint } from './hosts.ts'
import { type Exchange, follow, type Target } from './redirect.ts'
import type { Reference } from './reference.ts'
import { answerFailure } from './registry-answer.ts'
import { meaningOfStatus, RequestFailure } from './request-failure.ts'
import { subjectOf } from './subject.ts'
import type { Sender } from './transport.ts'

/** One request to the distribution API. */
export interface ApiRequest {
  readonly method: 'GET' | 'HEAD'
  readonly reference: Reference
  /** After the repository, e.g. `manifests/v1`. */
  readonly path: string
  /** For the message of a 404, e.g. `manifest "v1"`. */
  readonly what: string
  readonly headers: Readonly<Record<string, string>>
}

/** A successful answer, and whose credential it took; undefined for anonymous access. */
export interface Granted extends Exchange {
  readonly credential: Credential | undefined
}

/** How requests go out, and what they are answered with when a registry asks who we are. */
export interface Client {
  readonly transport: Sender
  readonly authorizer: Authorizer
}

/**
 * Sends one request with each credential of the keyring in turn, and at last without any, until the registry takes one.
 * The body of the answer is not read yet: its target says where the same bytes can be asked for again.
 *
 * @throws RequestFailure the first refusal when all are refused, saying what was tried
 * @throws the signal's reason
 */
export async function ask(
  { transport, authorizer }: Client,
  endpoint: Endpoint,
  request: ApiRequest,
  { keyring, signal }: CallOptions,
): Promise<Granted> {
  const { registry, repository } = request.reference
  const candidates: readonly { label: string; credential: Credential | undefined }[] = [
    ...keyring.lookup(registry, repository),
    { label: 'anonymous access', credential: undefined },
  ]
  const refusals: RequestFailure[] = []
  for (const { credential } of candidates) {
    try {
      const caller = { endpoint, repository, credential, signal }
      return await askAs({ transport, authorizer }, caller, request)
    } catch (error) {
      if (!(error instanceof RequestFailure) || !error.refused) throw error
      refusals.push(error)
    }
  }
  const [first] = refusals
  const tried = [...new Set(candidates.map(({ label }) => label))].join(', ')
  throw new RequestFailure(
    first?.code ?? 'INTERNAL',
    `${first?.message ?? 'nothing was tried'}; tried ${tried}`,
    { cause: first?.cause },
  )
}

async function askAs(
  { transport, authorizer }: Client,
  caller: Parameters<Authorizer['authorize']>[0],
  { method, reference, path, what, headers }: ApiRequest,
): Promise<Granted> {
  const { endpoint, signal } = caller
  const url = new URL(`${endpoint.base}/${reference.repository}/${path}`)
  const send = (authorization: string | undefined) =>
    follow(transport, endpoint, {
      method,
      url,
      headers: authorization === undefined ? headers : { ...headers, authorization },
      signal,
    })
  let authorization = await authorizer.authorize(caller)
  let exchange = await send(authorization?.header)
  if (exchange.answer.status === 401 && !exchange.foreign) {
    const asksAnew = authorizer.learn(caller, exchange.answer.header('www-authenticate'))
    // A token from the cache may have been revoked; one that was issued just now is refused for good.
    if (asksAnew || !authorization?.fresh) {
      const renewed = await authorizer.authorize(caller, authorization?.header)
      if (renewed !== undefined) {
        await exchange.answer.body.dump({ limit: 64 * 1024, signal }).catch(() => {})
        authorization = renewed
        exchange = await send(renewed.header)
      }
    }
  }
  const { status } = exchange.answer
  if (status === 200 || status === 206) {
    return { ...exchange, credential: authorization && caller.credential }
  }
  throw await answerFailure(
    exchange,
    { what, repository: reference.repository },
    { idleTimeoutMs: transport.idleTimeoutMs, signal },
  )
}

/**
 * Sends a request straight to where an earlier answer came from, so that the registry need not redirect again.
 *
 * @returns undefined when that place no longer answers it: a signed URL has expired, a token was revoked
 * @throws RequestFailure a transient one
 * @throws the signal's reason
 */
export async function askAgain(
  transport: Sender,
  endpoint: Endpoint,
  { url, headers, tls, reach }: Target,
  request: ApiRequest,
  signal: AbortSignal,
): Promise<Exchange | undefined> {
  const { range: _, ...kept } = headers
  const target = { url, headers: { ...kept, ...request.headers }, tls, reach }
  const answer = await transport.send({ method: request.method, ...target, signal })
  const foreign = url.origin !== new URL(endpoint.base).origin
  const { status } = answer
  if (status === 200 || status === 206) return { target, answer, foreign }
  const { idleTimeoutMs } = transport
  const wanted = { what: request.what, repository: request.reference.repository }
  const failure = await answerFailure({ target, answer, foreign }, wanted, {
    idleTimeoutMs,
    signal,
  })
  if (meaningOfStatus(status).transient) throw failure
  return undefined
}

/** Turns a failure of the client into the error that callers see; everything else stays what it is. */
export function toPullError(error: unknown, reference: Reference): unknown {
  if (!(error instanceof RequestFailure)) return error
  return new CodedError(error.code, `${subjectOf(reference)}: ${error.message}`, {
    cause: error.cause,
  })
}

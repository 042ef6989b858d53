import { CodedError } from '../errors.ts'
import type { CallOptions } from './artifact-source.ts'
import type { Authorizer } from './authorization.ts'
import { listCandidates, type NodeKeyring } from './credential-candidates.ts'
import { ANONYMOUS, type Credential } from './credentials.ts'
import type { Endpoint, RegistryHost } from './hosts.ts'
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

/** A successful answer, and which of the caller's credentials it took; undefined when it is what anyone gets: anonymously, or with the node's. */
export interface Granted extends Exchange {
  readonly credential: Credential | undefined
}

/** How requests go out, and what they are answered with when a registry asks who we are. */
export interface Client {
  readonly transport: Sender
  readonly authorizer: Authorizer
  readonly nodeKeyring: NodeKeyring
}

/**
 * Sends one request with each credential of the keyring in turn, then with the node's own, and at last without any, until the registry takes one.
 * The body of the answer is not read yet: its target says where the same bytes can be asked for again.
 *
 * @throws RequestFailure the first refusal when all are refused, saying what was tried
 * @throws the signal's reason
 */
export async function ask(
  { nodeKeyring, ...connection }: Client,
  endpoint: RegistryHost,
  request: ApiRequest,
  { keyring, signal }: CallOptions,
): Promise<Granted> {
  const { registry, repository } = request.reference
  const caller = {
    // A mirror is somebody else: what a pod has for the registry is not for it.
    keyring: endpoint.takesCredentials ? keyring : ANONYMOUS,
    nodeKeyring: keyringForHost(nodeKeyring, endpoint),
    ...{ registry, repository, signal },
  }
  const tried = new Set<string>()
  const refusals: RequestFailure[] = []
  for await (const { credential, proves } of listCandidates(caller, tried)) {
    try {
      const asked = { endpoint, repository, credential, signal }
      const granted = await askAs(connection, asked, request)
      return proves === 'caller' ? granted : { ...granted, credential: undefined }
    } catch (error) {
      if (!(error instanceof RequestFailure) || !error.refused) throw error
      refusals.push(error)
    }
  }
  const [first] = refusals
  throw new RequestFailure(
    first?.code ?? 'INTERNAL',
    `${first?.message ?? 'nothing was tried'}; tried ${[...tried].join(', ')}`,
    { cause: first?.cause },
  )
}

/** The node's credentials are those for the host that is contacted; for the registry's name, too, where that host may have them. */
function keyringForHost(nodeKeyring: NodeKeyring, host: RegistryHost): NodeKeyring {
  if (host.namespace === undefined) return nodeKeyring
  const contacted = new URL(host.base).host
  return {
    async *lookup(registry, repository, signal) {
      yield* nodeKeyring.lookup(contacted, repository, signal)
      if (host.takesCredentials) yield* nodeKeyring.lookup(registry, repository, signal)
    },
  }
}

async function askAs(
  { transport, authorizer }: Omit<Client, 'nodeKeyring'>,
  caller: Parameters<Authorizer['authorize']>[0],
  { method, reference, path, what, headers }: ApiRequest,
): Promise<Granted> {
  const { endpoint, signal } = caller
  const url = new URL(`${endpoint.base}/${reference.repository}/${path}`)
  if (endpoint.namespace !== undefined) url.searchParams.set('ns', endpoint.namespace)
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
  { url, headers, ...route }: Target,
  request: ApiRequest,
  signal: AbortSignal,
): Promise<Exchange | undefined> {
  const { range: _, ...kept } = headers
  const target = { url, headers: { ...kept, ...request.headers }, ...route }
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

import { CodedError } from '../errors.ts'
import { limitHint } from '../limit-hint.ts'
import type { NoteReach } from './address-guard.ts'
import type { ArtifactSource, CallOptions, FetchedManifest } from './artifact-source.ts'
import { createAuthorizer } from './authorization.ts'
import { checkBlobAnswer, claimedDigest, isWhole } from './blob-answer.ts'
import { bodyChunks, discardBody, readBody } from './body.ts'
import type { Descriptor } from './descriptor.ts'
import { digestAlgorithm, digestOf } from './digest.ts'
import type { Endpoint, Hosts } from './hosts.ts'
import { DEFAULT_MANIFEST_LIMITS, MANIFEST_LIMIT_FLAGS } from './manifest.ts'
import { ACCEPT_MANIFEST, isMediaType } from './media-types.ts'
import type { Exchange, Target } from './redirect.ts'
import { formatReference, type Reference } from './reference.ts'
import {
  type ApiRequest,
  ask,
  askAgain,
  type Client,
  type Granted,
  toPullError,
} from './registry-client.ts'
import { RequestFailure } from './request-failure.ts'
import { type RetryOptions, withRetry } from './retry.ts'
import { subjectOf } from './subject.ts'
import { createTokenCache } from './token-cache.ts'
import { createTransport, type HttpAnswer, type HttpRequest, type Sender } from './transport.ts'
import { verified } from './verify.ts'

/** Where the client writes what it does; pino's loggers fit. */
export interface RegistryLog {
  debug(fields: object, message: string): void
}

export interface RegistrySourceOptions {
  readonly hosts: Hosts
  /** Default `oras-csi`. */
  readonly userAgent?: string
  readonly retry?: Omit<RetryOptions, 'onRetry'>
  /** A connection without a byte for this long is dropped; default 30,000. */
  readonly idleTimeoutMs?: number
  /** Default 4 MiB. */
  readonly maxManifestBytes?: number
  /** The clock of token lifetimes; default `Date.now`. */
  readonly nowMs?: () => number
  readonly log?: RegistryLog
}

/** A part of a blob, and on whose connections it is asked for. */
export interface BlobPart {
  /** Default 0. */
  readonly offset?: number
  /** Where it ends, exclusive; default the blob's end. */
  readonly end?: number
  /** Connections that are not the source's own, e.g. of a thread. The source decides what is sent; they check `reach` and `tls`. */
  readonly connections?: OtherConnections
  /** Where an earlier part came from: asked first, and the registry only when that no longer answers. */
  readonly target?: Target | undefined
  /** Requests at most, when this part can wait less than others. */
  readonly attempts?: number
  /** Hears of each failure that is tried again. */
  readonly onRetry?: (failure: RequestFailure) => void
}

/** Sends requests as {@link Transport} does. */
export interface OtherConnections {
  /** @param noteReach to be told the address that was contacted */
  send(request: HttpRequest, noteReach: NoteReach): Promise<HttpAnswer>
}

/** A registry as a source, and the step before a blob's bytes for those who read them in another way. */
export interface RegistrySource extends ArtifactSource, AsyncDisposable {
  /**
   * Asks for a blob, or a part, up to the answer's head: authorized, redirected, tried again where that helps, status,
   * range and length checked. The caller reads `answer.body` or destroys it.
   *
   * @throws CodedError as `blob` does
   */
  openBlob(
    reference: Reference,
    descriptor: Descriptor,
    options: CallOptions & BlobPart,
  ): Promise<Exchange>
}

/**
 * Pulls from registries by the OCI distribution specification 1.1. Disposing closes its connections.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pull
 */
export function createRegistrySource(options: RegistrySourceOptions): RegistrySource {
  const { hosts, userAgent = 'oras-csi', idleTimeoutMs = 30_000, nowMs = Date.now, log } = options
  const { maxManifestBytes = DEFAULT_MANIFEST_LIMITS.bytes } = options
  const transport = createTransport({ idleTimeoutMs })
  const tokens = createTokenCache({ transport, clientId: userAgent, nowMs })
  const authorizer = createAuthorizer(tokens)
  const client: Client = { transport, authorizer }

  /** Makes an attempt at a registry's server, again on a transient failure. */
  async function retrying<T>(
    reference: Reference,
    call: CallOptions & Pick<BlobPart, 'attempts' | 'onRetry'>,
    attempt: (server: Endpoint) => Promise<T>,
  ): Promise<T> {
    const { signal, attempts, onRetry } = call
    signal.throwIfAborted()
    try {
      const { server } = await hosts.lookup(reference.registry)
      return await withRetry(() => attempt(server), signal, {
        ...options.retry,
        ...(attempts !== undefined && { attempts }),
        onRetry: (failure, waitMs) => {
          onRetry?.(failure)
          log?.debug(
            { reference: formatReference(reference), failure: failure.message, waitMs },
            'registry request is tried again',
          )
        },
      })
    } catch (error) {
      throw toPullError(error, reference)
    }
  }

  /** Sends a request and uses its answer, both again on a transient failure of either. */
  const asking = <T>(
    request: ApiRequest,
    call: CallOptions,
    use: (granted: Granted) => Promise<T>,
  ): Promise<T> =>
    retrying(request.reference, call, async (server) =>
      use(await ask(client, server, request, call)),
    )

  async function fetchManifest(reference: Reference, call: CallOptions): Promise<FetchedManifest> {
    return asking(manifestRequest('GET', reference, userAgent), call, async (granted) => {
      const { answer, target, credential } = granted
      const limits = {
        url: target.url,
        maxBytes: maxManifestBytes,
        name: 'manifest',
        hint: limitHint(MANIFEST_LIMIT_FLAGS.bytes),
      }
      const bytes = await readBody(answer, { ...limits, idleTimeoutMs, signal: call.signal })
      const claimed = claimedDigest(granted)
      const digest = reference.digest ?? claimed ?? digestOf(bytes)
      for (const expected of [digest, claimed ?? digest]) {
        const found = digestOf(bytes, digestAlgorithm(expected))
        if (found !== expected) {
          throw new RequestFailure('CORRUPT', `the manifest ${expected} hashes to ${found}`)
        }
      }
      const mediaType = mediaTypeOf(granted) ?? 'application/octet-stream'
      const descriptor = { mediaType, digest, size: bytes.length, annotations: {} }
      return { descriptor, bytes, credential }
    })
  }

  async function openBlob(
    reference: Reference,
    descriptor: Descriptor,
    call: CallOptions & BlobPart,
  ): Promise<Exchange> {
    const { signal, target, connections } = call
    const part = { start: call.offset ?? 0, end: call.end ?? descriptor.size }
    const request: ApiRequest = {
      method: 'GET',
      reference,
      path: `blobs/${descriptor.digest}`,
      what: `blob ${descriptor.digest}`,
      headers: {
        'user-agent': userAgent,
        // A proxy that compresses would change the bytes that are hashed.
        'accept-encoding': 'identity',
        ...(!isWhole(part, descriptor) && { range: `bytes=${part.start}-${part.end - 1}` }),
      },
    }
    const sender: Sender = connections
      ? { ...transport, send: (http) => connections.send(http, transport.noteReach) }
      : transport
    return retrying(reference, call, async (server) => {
      const exchange =
        (target && (await askAgain(sender, server, target, request, signal))) ??
        (await ask({ transport: sender, authorizer }, server, request, call))
      try {
        checkBlobAnswer(exchange, part, descriptor)
      } catch (error) {
        discardBody(exchange.answer)
        throw error
      }
      return exchange
    })
  }

  return {
    async resolve(reference, call) {
      const found = await asking(
        manifestRequest('HEAD', reference, userAgent),
        call,
        async (granted) => {
          await granted.answer.body.dump()
          return describeHead(granted, reference)
        },
      )
      return found ?? (await fetchManifest(reference, call)).descriptor
    },
    manifest: fetchManifest,
    openBlob,
    async *blob(reference, descriptor, call) {
      const { offset = 0, signal } = call
      checkOffset(reference, offset, descriptor)
      // A range of nothing cannot be asked for.
      if (offset > 0 && offset === descriptor.size) return
      const { answer, target } = await openBlob(reference, descriptor, call)
      const subject = subjectOf(reference)
      const framed = answer.header('content-length') ?? answer.header('transfer-encoding')
      const onShort = () => {
        if (framed !== undefined) return
        throw new CodedError('UNAVAILABLE', `${subject}: connection closed before the blob's end`)
      }
      try {
        const chunks = bodyChunks(answer, { url: target.url, idleTimeoutMs, signal })
        yield* verified(chunks, { descriptor, offset, subject, sender: 'registry', onShort })
      } catch (error) {
        throw toPullError(error, reference)
      }
    },
    async [Symbol.asyncDispose]() {
      tokens[Symbol.dispose]()
      await transport[Symbol.asyncDispose]()
    },
  }
}

function manifestRequest(
  method: 'GET' | 'HEAD',
  reference: Reference,
  userAgent: string,
): ApiRequest {
  const name = reference.digest ?? reference.tag
  if (name === undefined) {
    throw new CodedError('INVALID', `${subjectOf(reference)}: expected a tag or a digest`)
  }
  return {
    method,
    reference,
    path: `manifests/${name}`,
    what: `manifest "${name}"`,
    headers: { 'user-agent': userAgent, accept: ACCEPT_MANIFEST },
  }
}

/** What the head of an answer says; undefined when it does not say enough. */
function describeHead(granted: Granted, { digest: wanted }: Reference): Descriptor | undefined {
  const digest = claimedDigest(granted)
  const mediaType = mediaTypeOf(granted)
  const length = granted.answer.header('content-length')
  if (digest === undefined || mediaType === undefined) return undefined
  if (length === undefined || !/^\d{1,15}$/.test(length)) return undefined
  if (wanted !== undefined && digest !== wanted) {
    throw new RequestFailure('CORRUPT', `registry answered for manifest ${wanted} with ${digest}`)
  }
  return { mediaType, digest, size: Number(length), annotations: {} }
}

function mediaTypeOf({ answer }: Exchange): string | undefined {
  const mediaType = (answer.header('content-type') ?? '').split(';')[0]?.trim() ?? ''
  return isMediaType(mediaType) ? mediaType : undefined
}

function checkOffset(reference: Reference, offset: number, { size }: Descriptor): void {
  if (Number.isSafeInteger(offset) && offset >= 0 && offset <= size) return
  throw new CodedError(
    'INVALID',
    `${subjectOf(reference)}: offset ${offset} is not within the ${size} bytes of the blob`,
  )
}

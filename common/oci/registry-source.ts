import { CodedError } from '../errors.ts'
import type { ArtifactSource, CallOptions, FetchedManifest } from './artifact-source.ts'
import { createAuthorizer } from './authorization.ts'
import { bodyChunks, discardBody, readBody } from './body.ts'
import type { Descriptor } from './descriptor.ts'
import { type Digest, digestAlgorithm, digestOf, isDigest } from './digest.ts'
import type { Hosts } from './hosts.ts'
import { MAX_MANIFEST_BYTES } from './manifest.ts'
import { ACCEPT_MANIFEST, isMediaType } from './media-types.ts'
import { formatReference, type Reference } from './reference.ts'
import { type ApiRequest, ask, type Granted, toPullError } from './registry-client.ts'
import { RequestFailure } from './request-failure.ts'
import { type RetryOptions, withRetry } from './retry.ts'
import { subjectOf } from './subject.ts'
import { createTokenCache } from './token-cache.ts'
import { createTransport } from './transport.ts'
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
  /** The clock of token lifetimes; default `Date.now`. */
  readonly nowMs?: () => number
  readonly log?: RegistryLog
}

/** A blob whose bytes are about to be read: the answer, and where and how to ask for the same bytes again. */
export type OpenBlob = Granted

/** A registry as a source, and the step before a blob's bytes for those who read them in another way. */
export interface RegistrySource extends ArtifactSource, AsyncDisposable {
  /**
   * Asks for a blob from `offset` up to the answer's head: authorized, redirected, tried again where that helps, status
   * and range checked. The caller reads `answer.body` or destroys it; `target` is the final URL with the headers and TLS
   * settings that it took, for a download on a connection of one's own (signed URLs in it expire within minutes).
   *
   * @throws CodedError as `blob` does
   */
  openBlob(
    reference: Reference,
    descriptor: Descriptor,
    options: CallOptions & { readonly offset?: number },
  ): Promise<OpenBlob>
}

/**
 * Pulls from registries by the OCI distribution specification 1.1. Disposing closes its connections.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pull
 */
export function createRegistrySource(options: RegistrySourceOptions): RegistrySource {
  const { hosts, userAgent = 'oras-csi', idleTimeoutMs = 30_000, nowMs = Date.now, log } = options
  const transport = createTransport({ idleTimeoutMs })
  const tokens = createTokenCache({ transport, clientId: userAgent, nowMs })
  const client = { transport, authorizer: createAuthorizer(tokens) }

  /** Sends a request and uses its answer, both again on a transient failure of either. */
  async function retrying<T>(
    request: ApiRequest,
    call: CallOptions,
    use: (granted: Granted) => Promise<T>,
  ): Promise<T> {
    const { reference } = request
    call.signal.throwIfAborted()
    try {
      const { server } = await hosts.lookup(reference.registry)
      const headers = { 'user-agent': userAgent, ...request.headers }
      return await withRetry(
        async () => use(await ask(client, server, { ...request, headers }, call)),
        call.signal,
        {
          ...options.retry,
          onRetry: (failure, waitMs) =>
            log?.debug(
              { reference: formatReference(reference), failure: failure.message, waitMs },
              'registry request is tried again',
            ),
        },
      )
    } catch (error) {
      throw toPullError(error, reference)
    }
  }

  async function fetchManifest(reference: Reference, call: CallOptions): Promise<FetchedManifest> {
    return retrying(manifestRequest('GET', reference), call, async (granted) => {
      const { answer, target, credential } = granted
      const limits = { url: target.url, maxBytes: MAX_MANIFEST_BYTES, name: 'manifest' }
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
    call: CallOptions & { readonly offset?: number },
  ): Promise<OpenBlob> {
    const { offset = 0 } = call
    const request: ApiRequest = {
      method: 'GET',
      reference,
      path: `blobs/${descriptor.digest}`,
      what: `blob ${descriptor.digest}`,
      headers: {
        // A proxy that compresses would change the bytes that are hashed.
        'accept-encoding': 'identity',
        ...(offset > 0 && { range: `bytes=${offset}-${descriptor.size - 1}` }),
      },
    }
    return retrying(request, call, async (granted) => {
      try {
        checkRange(granted, offset, descriptor)
        checkLength(granted, offset, descriptor)
        checkClaim(granted, descriptor.digest)
      } catch (error) {
        discardBody(granted.answer)
        throw error
      }
      return granted
    })
  }

  return {
    async resolve(reference, call) {
      const found = await retrying(manifestRequest('HEAD', reference), call, async (granted) => {
        await granted.answer.body.dump()
        return describeHead(granted, reference)
      })
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

function manifestRequest(method: 'GET' | 'HEAD', reference: Reference): ApiRequest {
  const name = reference.digest ?? reference.tag
  if (name === undefined) {
    throw new CodedError('INVALID', `${subjectOf(reference)}: expected a tag or a digest`)
  }
  return {
    method,
    reference,
    path: `manifests/${name}`,
    what: `manifest "${name}"`,
    headers: { accept: ACCEPT_MANIFEST },
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

function mediaTypeOf({ answer }: Granted): string | undefined {
  const mediaType = (answer.header('content-type') ?? '').split(';')[0]?.trim() ?? ''
  return isMediaType(mediaType) ? mediaType : undefined
}

function claimedDigest({ answer, foreign }: Granted): Digest | undefined {
  const text = answer.header('docker-content-digest')
  if (text === undefined || foreign) return undefined
  if (isDigest(text)) return text
  throw new RequestFailure('CORRUPT', 'registry answered with a malformed Docker-Content-Digest')
}

function checkClaim(granted: Granted, digest: Digest): void {
  const claimed = claimedDigest(granted)
  if (claimed === undefined || digestAlgorithm(claimed) !== digestAlgorithm(digest)) return
  if (claimed !== digest) {
    throw new RequestFailure('CORRUPT', `registry answered for blob ${digest} with ${claimed}`)
  }
}

function checkOffset(reference: Reference, offset: number, { size }: Descriptor): void {
  if (Number.isSafeInteger(offset) && offset >= 0 && offset <= size) return
  throw new CodedError(
    'INVALID',
    `${subjectOf(reference)}: offset ${offset} is not within the ${size} bytes of the blob`,
  )
}

/** The part that was asked for, and no other: appended to what is there, a wrong one would be found only at the end. */
function checkRange({ answer }: Granted, offset: number, { size, digest }: Descriptor): void {
  if (offset === 0 && answer.status === 200) return
  const range = answer.header('content-range') ?? ''
  if (answer.status === 206 && range === `bytes ${offset}-${size - 1}/${size}`) return
  if (answer.status === 206 && range === `bytes ${offset}-${size - 1}/*`) return
  throw new RequestFailure(
    'INVALID',
    `registry cannot send blob ${digest} from byte ${offset}: it answered ${answer.status === 200 ? 'with the whole' : 'with another range'}`,
  )
}

function checkLength({ answer }: Granted, offset: number, { size, digest }: Descriptor): void {
  const length = answer.header('content-length')
  if (length === undefined || Number(length) === size - offset) return
  throw new RequestFailure(
    'CORRUPT',
    `registry sends ${length} bytes of blob ${digest}; expected ${size - offset}`,
  )
}

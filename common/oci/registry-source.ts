import { CodedError } from '../errors.ts'
import type { NoteReach } from './address-guard.ts'
import type { ArtifactSource, CallOptions } from './artifact-source.ts'
import { createAuthorizer } from './authorization.ts'
import type { BlobRoute } from './blob-route.ts'
import { bodyChunks } from './body.ts'
import { chooseSource, NO_LAYOUT_DIRECTORIES } from './choose-source.ts'
import { NO_NODE_KEYRING, type NodeKeyring } from './credential-candidates.ts'
import type { Descriptor } from './descriptor.ts'
import { createHostFallback, type RegistryLog } from './host-fallback.ts'
import type { HostPart, HostSource, OpenedBlob } from './host-source.ts'
import type { Hosts, LayoutDirectoryHost } from './hosts.ts'
import { createLayoutHttpSource } from './layout-http-source.ts'
import { DEFAULT_MANIFEST_LIMITS } from './manifest.ts'
import type { Proxies } from './proxy.ts'
import type { Exchange } from './redirect.ts'
import type { Reference } from './reference.ts'
import { toPullError } from './registry-client.ts'
import { createRegistryHostSource } from './registry-host-source.ts'
import type { RequestFailure } from './request-failure.ts'
import type { RetryOptions } from './retry.ts'
import { createSilence } from './silence.ts'
import { subjectOf } from './subject.ts'
import { createTokenCache } from './token-cache.ts'
import { createTransport, type HttpAnswer, type HttpRequest } from './transport.ts'
import { UnfitError } from './unfit.ts'
import { verified } from './verify.ts'

export interface RegistrySourceOptions {
  readonly hosts: Hosts
  /** Reads directories of OCI layouts; default: hosts that are such directories cannot be asked. */
  readonly layoutDirectories?: HostSource<LayoutDirectoryHost>
  /** What is tried after the caller's credentials; default nothing. */
  readonly nodeKeyring?: NodeKeyring
  /** The environment's proxies; default none. */
  readonly proxies?: Proxies
  /** Default `oras-csi`. */
  readonly userAgent?: string
  readonly retry?: Omit<RetryOptions, 'onRetry' | 'isWorthIt'>
  /** A connection without a byte for this long is dropped; default 30,000. */
  readonly idleTimeoutMs?: number
  /** Default 4 MiB. */
  readonly maxManifestBytes?: number
  /** The clock of token lifetimes and of hosts that rest; default `Date.now`. */
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
  /** Of the download that the part belongs to: its next part comes from where this one did. */
  readonly route?: BlobRoute | undefined
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
   * Asks for a blob, or a part, up to the answer's head: authorized, redirected, tried again and at other hosts where that helps, status,
   * range and length checked. The caller reads `answer.body` or destroys it.
   *
   * @throws CodedError as `blob` does
   * @throws UnfitError when it comes from where no HTTP connection goes
   */
  openBlob(
    reference: Reference,
    descriptor: Descriptor,
    options: CallOptions & BlobPart,
  ): Promise<Exchange>
}

/**
 * Pulls from registries by the OCI distribution specification 1.1, and from the OCI layouts that stand in for them: from the hosts that are
 * configured for a registry, in their order, until one has what is asked for. Disposing closes its connections.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pull
 */
export function createRegistrySource(options: RegistrySourceOptions): RegistrySource {
  const { hosts, userAgent = 'oras-csi', idleTimeoutMs = 30_000, nowMs = Date.now, log } = options
  const { maxManifestBytes = DEFAULT_MANIFEST_LIMITS.bytes, proxies, retry } = options
  const { nodeKeyring = NO_NODE_KEYRING, layoutDirectories = NO_LAYOUT_DIRECTORIES } = options
  const transport = createTransport({ idleTimeoutMs, ...(proxies && { proxies }) })
  const tokens = createTokenCache({ transport, clientId: userAgent, nowMs })
  const client = { transport, authorizer: createAuthorizer(tokens), nodeKeyring }
  const settings = { transport, userAgent, maxManifestBytes }
  const silence = createSilence({ patienceMs: IDLE_TIMES * idleTimeoutMs })
  const fallback = createHostFallback({ hosts, retry, silence, nowMs, log })
  const sourceOf = chooseSource({
    registry: createRegistryHostSource({ client, ...settings }),
    'layout-directory': layoutDirectories,
    'layout-http': createLayoutHttpSource(settings),
  })

  async function open(
    reference: Reference,
    descriptor: Descriptor,
    call: CallOptions & BlobPart,
  ): Promise<OpenedBlob> {
    const { attempts, onRetry, route, connections, offset = 0, end = descriptor.size } = call
    const part: HostPart = { start: offset, end, connections }
    const { start } = part
    const question = { ...call, reference, needs: 'pull', attempts, onRetry, route, start } as const
    return fallback.ask(question, async (host) => {
      const earlier = route?.earlier(host)
      const opened = await sourceOf(host).openBlob(reference, descriptor, {
        ...call,
        ...part,
        earlier,
      })
      route?.worked(host, start, opened.kind === 'exchange' ? opened.exchange : undefined)
      return opened
    })
  }

  return {
    async resolve(reference, call) {
      const needs = nameKind(reference)
      return fallback.ask({ ...call, reference, needs }, (host) =>
        sourceOf(host).resolve(reference, call),
      )
    },
    async manifest(reference, call) {
      const needs = nameKind(reference)
      return fallback.ask({ ...call, reference, needs }, async (host) => {
        const fetched = await sourceOf(host).manifest(reference, call)
        return { ...fetched, authoritative: host.authoritative }
      })
    },
    async mayRead(reference, descriptor, call) {
      try {
        const question = { ...call, reference, needs: 'pull', authoritativeOnly: true } as const
        return await fallback.ask(question, async (host) => {
          const source = sourceOf(host)
          await source.hasBlob?.(reference, descriptor, call)
          return source.hasBlob !== undefined
        })
      } catch {
        call.signal.throwIfAborted()
        return false
      }
    },
    async openBlob(reference, descriptor, call) {
      const opened = await open(reference, descriptor, call)
      if (opened.kind === 'exchange') return opened.exchange
      await endOf(opened.chunks)
      throw new UnfitError('the blob does not come over HTTP')
    },
    async *blob(reference, descriptor, call) {
      const { offset = 0, signal } = call
      checkOffset(reference, offset, descriptor)
      // A range of nothing cannot be asked for.
      if (offset > 0 && offset === descriptor.size) return
      const opened = await open(reference, descriptor, call)
      const subject = subjectOf(reference)
      try {
        if (opened.kind === 'stream') {
          yield* verified(opened.chunks, { descriptor, offset, subject, sender: 'layout' })
          return
        }
        const { answer, target } = opened.exchange
        const framed = answer.header('content-length') ?? answer.header('transfer-encoding')
        const onShort = () => {
          if (framed !== undefined) return
          const message = `${subject}: connection closed before the blob's end`
          throw new CodedError('UNAVAILABLE', message)
        }
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

/** A host that let two connections in a row go without a byte is not busy, it is gone: a minute, unless the admin has another patience. */
const IDLE_TIMES = 2

/** What a host must be capable of that is asked for a manifest. @throws INVALID for neither tag nor digest */
function nameKind(reference: Reference): 'pull' | 'resolve' {
  if (reference.digest !== undefined) return 'pull'
  if (reference.tag !== undefined) return 'resolve'
  throw new CodedError('INVALID', `${subjectOf(reference)}: expected a tag or a digest`)
}

/** Ends a stream that nobody reads. */
async function endOf(chunks: AsyncIterable<Uint8Array>): Promise<void> {
  await chunks[Symbol.asyncIterator]().return?.()
}

function checkOffset(reference: Reference, offset: number, { size }: Descriptor): void {
  if (Number.isSafeInteger(offset) && offset >= 0 && offset <= size) return
  throw new CodedError(
    'INVALID',
    `${subjectOf(reference)}: offset ${offset} is not within the ${size} bytes of the blob`,
  )
}

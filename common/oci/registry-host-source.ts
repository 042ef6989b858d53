import { limitHint } from '../limit-hint.ts'
import { checkBlobAnswer, claimedDigest, isWhole } from './blob-answer.ts'
import { discardBody, readBody } from './body.ts'
import type { Descriptor } from './descriptor.ts'
import { digestAlgorithm, digestOf } from './digest.ts'
import type { HostSource } from './host-source.ts'
import type { RegistryHost } from './hosts.ts'
import { MANIFEST_LIMIT_FLAGS } from './manifest.ts'
import { ACCEPT_MANIFEST, isMediaType } from './media-types.ts'
import type { Exchange } from './redirect.ts'
import type { Reference } from './reference.ts'
import { type ApiRequest, ask, askAgain, type Client, type Granted } from './registry-client.ts'
import { RequestFailure } from './request-failure.ts'
import type { Transport } from './transport.ts'

/** Asks one registry by the distribution API, with the credentials that it may have. */
export function createRegistryHostSource({
  client,
  transport,
  userAgent,
  maxManifestBytes,
}: {
  readonly client: Client
  readonly transport: Transport
  readonly userAgent: string
  readonly maxManifestBytes: number
}): Required<HostSource<RegistryHost>> {
  const { idleTimeoutMs } = transport
  const manifest: HostSource<RegistryHost>['manifest'] = async (host, reference, call) => {
    const granted = await ask(client, host, manifestRequest('GET', reference, userAgent), call)
    const { answer, target, credential } = granted
    const bytes = await readBody(answer, {
      url: target.url,
      maxBytes: maxManifestBytes,
      name: 'manifest',
      hint: limitHint(MANIFEST_LIMIT_FLAGS.bytes),
      idleTimeoutMs,
      signal: call.signal,
    })
    const claimed = claimedDigest(granted)
    const digest = reference.digest ?? claimed ?? digestOf(bytes)
    for (const expected of [digest, claimed ?? digest]) {
      const found = digestOf(bytes, digestAlgorithm(expected))
      if (found !== expected) {
        throw new RequestFailure('CORRUPT', `the manifest ${expected} hashes to ${found}`)
      }
    }
    const mediaType = mediaTypeOf(granted) ?? 'application/octet-stream'
    return {
      descriptor: { mediaType, digest, size: bytes.length, annotations: {} },
      bytes,
      credential,
    }
  }

  return {
    manifest,
    async resolve(host, reference, call) {
      const granted = await ask(client, host, manifestRequest('HEAD', reference, userAgent), call)
      await granted.answer.body.dump()
      const found = describeHead(granted, reference)
      const { descriptor, credential } =
        found === undefined
          ? await manifest(host, reference, call)
          : { descriptor: found, credential: granted.credential }
      return { ...descriptor, ...(credential !== undefined && { credential }) }
    },
    async hasBlob(host, reference, descriptor, call) {
      const request = blobRequest('HEAD', reference, descriptor, { 'user-agent': userAgent })
      const granted = await ask(client, host, request, call)
      await granted.answer.body.dump()
    },
    async openBlob(host, reference, descriptor, call) {
      const { start, end, earlier, connections, signal } = call
      const request = blobRequest('GET', reference, descriptor, {
        'user-agent': userAgent,
        // A proxy that compresses would change the bytes that are hashed.
        'accept-encoding': 'identity',
        ...(!isWhole(call, descriptor) && { range: `bytes=${start}-${end - 1}` }),
      })
      const sender = connections
        ? {
            ...transport,
            send: (http: Parameters<Transport['send']>[0]) =>
              connections.send(http, transport.noteReach),
          }
        : transport
      const exchange =
        (earlier && (await askAgain(sender, host, earlier.target, request, signal))) ??
        (await ask({ ...client, transport: sender }, host, request, call))
      try {
        checkBlobAnswer(exchange, call, descriptor)
      } catch (error) {
        discardBody(exchange.answer)
        throw error
      }
      return { kind: 'exchange', exchange }
    },
  }
}

function blobRequest(
  method: 'GET' | 'HEAD',
  reference: Reference,
  { digest }: Descriptor,
  headers: Readonly<Record<string, string>>,
): ApiRequest {
  return { method, reference, path: `blobs/${digest}`, what: `blob ${digest}`, headers }
}

function manifestRequest(
  method: 'GET' | 'HEAD',
  reference: Reference,
  userAgent: string,
): ApiRequest {
  const name = reference.digest ?? reference.tag
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
